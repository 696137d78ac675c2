"""The alarm for a stream that stands still."""

import logging
import time
from collections.abc import Callable

import pytest

from flows.stopping import Stop
from flows.watch import Watch
from schemas.errors import StoreUnavailable


def alarms(
    caplog: pytest.LogCaptureFixture, progress: Callable[[], dict[str, str]], *, at_end: bool
) -> list[str]:
    """What is said in half a second of watching, at a patience of 50 ms."""
    stop = Stop()
    with caplog.at_level(logging.WARNING, "nexus.watch"):
        Watch(progress, lambda: lambda: at_end, stop, 0.05).start()
        time.sleep(0.5)
        stop.request()
    return [record.message for record in caplog.records]


def test_stands_still_with_input(caplog: pytest.LogCaptureFixture) -> None:
    """Offsets that rest while the input has more are an alarm, again and again."""
    assert len(alarms(caplog, lambda: {"topic/0": "7"}, at_end=False)) > 1


def test_stands_still_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that has read everything may rest."""
    assert alarms(caplog, lambda: {"topic/0": "7"}, at_end=True) == []


def test_moves(caplog: pytest.LogCaptureFixture) -> None:
    """A stream that moves is left alone, however much there is to read."""
    assert alarms(caplog, lambda: {"topic/0": str(time.monotonic_ns())}, at_end=False) == []


def test_store_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Not to see anything is an alarm, too."""

    def unavailable() -> dict[str, str]:
        raise StoreUnavailable("nobody there")

    assert "nobody there" in alarms(caplog, unavailable, at_end=True)[0]
