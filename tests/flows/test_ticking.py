"""Time goes by beside the stream, on a real store: never past what is not read yet."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from flows.stopping import Stop
from flows.ticking import Ticking
from schemas.events import Event
from schemas.rules import Rules
from schemas.transitions import StateEntered
from tests.end_to_end.programs import eventually
from tests.resolver.histories import Pair, event

SILENCE = Rules.from_data(
    {"states": {"silence": {"of": "person", "values": ["yes"], "after": {"duration": "60s", "value": "yes"}}}}
)


class Input:
    """An input of which the test says when it is read. `asked_ms`: when `Ticking` first asked for its end."""

    def __init__(self) -> None:
        self.is_read, self.asked_ms, self._looks = threading.Event(), 0, 0

    def at_end(self) -> Callable[[], bool]:
        """Give what says whether all that is there now is read."""
        self.asked_ms = self.asked_ms or time.time_ns() // 1_000_000
        return self._look

    def _look(self) -> bool:
        self._looks += 1
        return self.is_read.is_set()

    def wait_until_waited_for(self) -> None:
        """Wait until somebody has looked, and looked again."""
        eventually(lambda: self._looks >= 3, "it is waited until all is read")


@pytest.fixture
def silent(client: redis.Redis) -> Pair:
    """Give a store of which nothing is known but that somebody was there 100 seconds ago."""
    pair = Pair(client, rules=SILENCE)
    pair.learn([seen(100)])
    return pair


@pytest.fixture
def source(silent: Pair) -> Iterator[Input]:
    """Give an input that is not read yet, while time goes by."""
    source, stop = Input(), Stop()
    Ticking(silent.store, source.at_end, stop).start()
    yield source
    stop.request()


def seen(ago_s: int) -> Event:
    """The same person, so long ago."""
    return event(time.time_ns() // 1_000_000 - 1_000 * ago_s, ["user_id=ada"])


def now_ms(pair: Pair) -> int:
    """The store's `now`; 0 for none."""
    found: bytes | None = pair.client.hget(pair.keys.meta, "now")  # type: ignore[assignment]  # not awaited
    return int(found or 0)


def test_nobody_is_silent_whose_word_is_not_read_yet(silent: Pair, source: Input) -> None:
    """A stream that was down raises no alarm about a silence that the input knows better."""
    source.wait_until_waited_for()
    silent.learn([seen(50)])
    source.is_read.set()
    eventually(lambda: now_ms(silent) > 0, "time goes by")
    silent.learn([seen(0)])
    assert not [one for one in silent.told if isinstance(one, StateEntered)]


def test_now_is_when_it_was_asked_for(silent: Pair, source: Input) -> None:
    """What came in while the rest was read may not be read yet: time goes no further than the question."""
    source.wait_until_waited_for()
    assert now_ms(silent) == 0
    source.is_read.set()
    eventually(lambda: now_ms(silent) > 0, "time goes by")
    assert now_ms(silent) <= source.asked_ms
