"""flows.notify over a real Redis, a real log and a real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from flows import sending
from flows.notices import Notifications
from flows.notify import DigestClock, Matched, Reader, Work
from flows.sending import SCHEDULE_S, Sender
from flows.stopping import Stop
from flows.transitions_reader import LogTransitions, Published, Transitions
from resolver.deliveries import Attempt, Deliveries, Notice
from resolver.keys import Keys
from schemas.errors import StoreCorrupt, StoreUnavailable
from schemas.instants import format_instant
from sinks.notices import Outcome
from sinks.segments import SegmentedLog
from tests.end_to_end.programs import eventually
from tests.sinks.receiver import SECRET, Answer, Receiver, receiver, status

MERGED = 'transition.transition == "entities_merged"'
OLD_MS = 2 * 3600 * 1000


def now_ms() -> int:
    """This instant."""
    return int(time.time() * 1000)


def transition(number: int, kind: str = "entities_merged", age_ms: int = 0, **more: Any) -> dict[str, Any]:
    """A transition as it lies in the log."""
    cause = {"source": "s", "event_id": f"e-{number}", "ingested_at": format_instant(now_ms() - age_ms)}
    common = {"transition": kind, "transition_id": f"t-{number}", "generation": 1, "number": number}
    about = {"entity_type": "person", "entity_id": f"per_{number}", "cause": cause}
    return {**common, "namespace": "n", **about, **more}


class InMemory:
    """Transitions on several partitions, as they would come from Kafka: with keys, in pieces."""

    topic = "transitions"

    def __init__(self, *published: Published) -> None:
        self.left = list(published)
        self.name = "one"
        self.opened: dict[int, int] = {}
        self.since_ms: int | None = None

    def id(self) -> str:
        """Another name, another topic."""
        return self.name

    def open(self, offsets: Mapping[int, int], since_ms: int) -> None:
        """Leave out what was read."""
        self.opened, self.since_ms = dict(offsets), since_ms
        self.left = [one for one in self.left if one.next_offset > offsets.get(one.partition, 0)]

    def read(self) -> list[Published]:
        """One message at a time."""
        return [self.left.pop(0)] if self.left else []

    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return not self.left

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Nothing is open."""


class World:
    """One process that notifies, with a log to read and receivers to send to."""

    def __init__(self, client: redis.Redis, folder: Path, stack: ExitStack) -> None:
        client.flushall()
        self.client, self.deliveries, self._stack = client, Deliveries(client, "n"), stack
        self.log = SegmentedLog(folder / "transitions")
        self.endpoints: dict[str, Any] = {}
        self.rules: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self._stops: list[Stop] = []

    def endpoint(self, name: str, *answers: Answer, **more: Any) -> Receiver:
        """An endpoint with a receiver behind it, and a rule that tells it of merges."""
        to = self._stack.enter_context(receiver(*answers))
        self.endpoints[name] = {"webhook": to.url, "secrets": [SECRET], "allow_private": True, **more}
        self.rules[f"for_{name}"] = {"when": MERGED, "to": [name]}
        return to

    def publish(self, *transitions: dict[str, Any]) -> None:
        """Append to the log."""
        self.log.append([json.dumps(one).encode() for one in transitions])

    def process(
        self, source: Transitions | None = None, schedule_s: tuple[float, ...] = (0, 0.1, 0.2)
    ) -> Process:
        """A process that notifies: `step` reads, `send` begins to send."""
        settings = {"endpoints": self.endpoints, "rules": self.rules, **self.more}
        process = Process(
            self.deliveries,
            Notifications.model_validate(settings),
            source or LogTransitions(self.log),
            schedule_s,
        )
        self._stops.append(process.stop)
        return process

    def close(self) -> None:
        """End every process."""
        for stop in self._stops:
            stop.request()
        time.sleep(0.05)
        self.deliveries.check()


class Process:
    """The parts of the flow, a step at a time."""

    def __init__(
        self,
        deliveries: Deliveries,
        settings: Notifications,
        source: Transitions,
        schedule_s: tuple[float, ...],
    ) -> None:
        self.stop = Stop()
        self.clock: DigestClock | None = None
        if settings.digest is not None:
            self.clock = DigestClock(deliveries, settings, settings.digest, "n")
        self.reader = Reader(deliveries, source, "n", settings.endpoints, self.clock, 0)
        self.senders = {
            name: Sender(name, endpoint, deliveries, self.stop, self.reader.is_ours, schedule_s)
            for name, endpoint in settings.endpoints.items()
        }
        self.work = Work(deliveries, settings, "n", self.senders, self.reader, self.stop)

    def read(self) -> list[Matched]:
        """Read and match what there is, up to where it would be enqueued."""
        return [self.work.match(batch) for batch in self.reader.take()]

    def step(self) -> int:
        """Everything that is there; how many batches those were."""
        count = 0
        while matched := self.read():
            for one in matched:
                self.work.enqueue(one)
                count += 1
        return count

    def send(self) -> None:
        """Begin to send."""
        for sender in self.senders.values():
            sender.start()

    def quiet(self) -> bool:
        """Whether nothing can be sent just now."""
        return all(sender.is_quiet() for sender in self.senders.values())


@pytest.fixture
def world(client: redis.Redis, tmp_path: Path) -> Iterator[World]:
    """Give an empty world."""
    with ExitStack() as stack:
        world = World(client, tmp_path, stack)
        yield world
        world.close()


def key_text(key: bytes | str) -> str:
    """A key as text, whatever redis-py's annotations think that it may be."""
    return key.decode() if isinstance(key, bytes) else key


def ids(to: Receiver) -> list[str]:
    """The ids of what came."""
    return [one.id for one in to.received]


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""
    eventually(holds, what, 60)


def test_what_matches_is_delivered(world: World) -> None:
    """A merge is, under its id and the rule's name; a creation, a snapshot and what is redacted are not."""
    crm = world.endpoint("crm")
    world.rules["all"] = {"when": "true", "to": ["crm"]}
    world.publish(transition(1), transition(2, "redacted"), transition(2, "snapshot_started"))
    process = world.process()
    process.step()
    process.send()
    until(lambda: len(crm.received) == 2, "both rules told")
    assert sorted(ids(crm)) == ["t-1-all", "t-1-for_crm"]
    assert crm.received[0].verified()["data"]["transition_id"] == "t-1"
    until(lambda: world.deliveries.standing("crm").waiting == 0, "nothing waits")
    assert world.deliveries.standing("crm").delivered == 2


def test_each_transition_is_enqueued_once(world: World) -> None:
    """Not for its copy under the second entity, and not when a publisher sends it again."""
    world.endpoint("crm")
    line = {number: json.dumps(transition(number)).encode() for number in (1, 2)}
    source = InMemory(
        Published(0, 1, "per_1", line[1]),
        Published(1, 1, "per_absorbed", line[1]),
        Published(0, 2, "per_1", line[1]),
        Published(1, 2, "per_2", line[2]),
        Published(1, 3, "per_2", None),
        Published(1, 4, "per_2", b"<html>"),
        Published(1, 5, "per_2", b"[]"),
    )
    process = world.process(source)
    assert process.step() == 7
    assert world.deliveries.standing("crm").taken == 2
    assert process.stop.failure is None


def test_another_namespace_is_not_told(world: World) -> None:
    """Two may share a topic: what is of the other one neither matches nor hides what is of this one."""
    world.endpoint("crm")
    other = transition(9, namespace="other", generation=7)
    lines = [json.dumps(one).encode() for one in (other, transition(1), other, transition(2))]
    world.process(InMemory(*(Published(0, at, None, one) for at, one in enumerate(lines, 1)))).step()
    assert world.deliveries.standing("crm").taken == 2


NONE = {
    "no id": {"transition_id": None},
    "an id with a line end": {"transition_id": "t\r\nx-evil: 1"},
    "a number in words": {"number": "1"},
    "a generation in words": {"generation": "1"},
    "a cause that is none": {"cause": ["crm"]},
    "erased ids that are none": {"transition": "entity_erased", "erased_ids": [{}]},
    "not a number": {"moved": float("nan")},
}


@pytest.mark.parametrize("wrong", NONE.values(), ids=NONE)
def test_what_is_no_transition_stops_nothing(world: World, wrong: dict[str, Any]) -> None:
    """It is passed over, and what stands behind it is told."""
    world.endpoint("crm")
    world.publish({**transition(1), **wrong}, transition(2))
    process = world.process()
    process.step()
    assert process.stop.failure is None
    assert world.deliveries.standing("crm").taken == 1


def test_what_says_no_instant_is_news(world: World) -> None:
    """A cause whose instant cannot be read is not held back."""
    world.endpoint("crm")
    world.publish(transition(1, cause={"source": "s", "event_id": "e", "ingested_at": "yesterday"}))
    world.process().step()
    assert world.deliveries.standing("crm").waiting == 1


def test_a_crash_between_reading_and_enqueueing_loses_nothing(world: World) -> None:
    """What one process has read and not enqueued, the next one reads again, and enqueues once."""
    crm = world.endpoint("crm")
    world.publish(transition(1))
    first = world.process()
    in_hand = first.read()
    first.reader.close()
    second = world.process()
    world.publish(transition(2))
    second.step()
    assert [first.work.enqueue(one) for one in in_hand] == [None], "the first one comes too late"
    second.send()
    until(lambda: len(crm.received) == 2, "both are delivered")
    assert world.deliveries.standing("crm").taken == 2


def test_a_crash_between_enqueueing_and_sending_loses_nothing(world: World) -> None:
    """What waits is sent by the next process."""
    crm = world.endpoint("crm")
    world.publish(transition(1))
    first = world.process()
    first.step()
    first.reader.close()
    second = world.process()
    second.step()
    second.send()
    until(lambda: ids(crm) == ["t-1-for_crm"], "the second process sends it")


def test_a_call_whose_answer_was_lost_changes_nothing_again(world: World) -> None:
    """The second time the cursor is elsewhere, and the flow goes on."""
    world.endpoint("crm")
    world.publish(transition(1))
    process = world.process()
    (matched,) = process.read()
    assert process.work.enqueue(matched) is not None
    assert process.work.enqueue(matched) is not None, "it is where the call would put it"
    assert world.deliveries.standing("crm").taken == 1


def test_a_failure_is_tried_again_under_the_same_id(world: World) -> None:
    """500, then 200."""
    crm = world.endpoint("crm", status(500), status(200))
    world.publish(transition(1))
    process = world.process()
    process.step()
    process.send()
    until(lambda: world.deliveries.standing("crm").delivered == 1, "it is delivered")
    assert ids(crm) == ["t-1-for_crm"] * 2
    assert crm.received[0].verified() == crm.received[1].verified()
    assert [one["outcome"] for one in world.deliveries.standing("crm").recent] == ["delivered", "again"]


def test_what_the_store_did_not_take_is_written_down_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is away just after a delivery: nothing is sent a second time, and nothing stays in hand."""
    crm = world.endpoint("crm")
    world.publish(transition(1), transition(2))
    process = world.process()
    process.step()
    attempted, failures = world.deliveries.attempted, [StoreUnavailable("away")]

    def away_once(*given: Any) -> int:
        if failures:
            raise failures.pop()
        return attempted(*given)

    monkeypatch.setattr(world.deliveries, "attempted", away_once)
    process.send()
    until(lambda: world.deliveries.standing("crm").delivered == 2, "both are written down")
    until(process.quiet, "nothing is in hand")
    assert sorted(ids(crm)) == ["t-1-for_crm", "t-2-for_crm"]


def test_attempts_are_written_down_together_in_their_order(world: World) -> None:
    """Each counts once; what was taken back meanwhile does not, nor what stands behind a 410."""
    world.endpoint("crm")
    world.publish(*(transition(number) for number in range(1, 6)))
    world.process().step()
    store = world.deliveries
    one, two, three, four, five = store.notices("crm", store.due("crm", now_ms(), 5))
    store.forget(["crm"], ["per_5"])
    sent, again = Attempt("delivered", now_ms()), Attempt("again", now_ms(), "status 500", now_ms() + 5000)
    assert store.attempted("crm", [(one, sent), (two, again), (one, sent), (five, sent)]) == 2
    standing = store.standing("crm")
    assert (standing.waiting, standing.delivered, standing.error) == (3, 1, "status 500")
    gone = Attempt("gone", now_ms(), "status 410", settings="these")
    assert store.attempted("crm", [(three, gone), (four, sent)]) == 1
    standing = store.standing("crm")
    assert (standing.waiting, standing.failed, standing.dropped, standing.disabled) == (0, 1, 2, "these")


def test_the_store_is_not_asked_for_what_is_in_hand(world: World) -> None:
    """But once in a while: each answer waits for the disk, and what was enqueued here is known."""
    to, process = world.endpoint("team"), world.process()

    def is_delivered(many: int) -> bool:
        return world.deliveries.standing("team").delivered == len(ids(to)) == many

    process.send()
    world.client.config_resetstat()
    started = time.monotonic()
    for number in range(20):
        world.publish(transition(number))
        process.step()
        until(partial(is_delivered, number + 1), "it is delivered")
    calls: Any = world.client.info("commandstats")
    assert calls["cmdstat_zrangebyscore"]["calls"] <= 2 + 2 * (time.monotonic() - started) / 0.5


def test_after_the_last_attempt_it_failed(world: World) -> None:
    """The schedule ends, and the failure is counted and told."""
    crm = world.endpoint("crm", status(500))
    world.publish(transition(1))
    process = world.process()
    process.step()
    process.send()
    until(lambda: world.deliveries.standing("crm").failed == 1, "it failed")
    standing = world.deliveries.standing("crm")
    assert len(crm.received) == 3
    assert (standing.waiting, standing.error) == (0, "status 500")


def test_retry_after_is_honoured(world: World) -> None:
    """For a second nothing is sent to the endpoint, not even what came meanwhile."""
    crm = world.endpoint("crm", status(429, retry_after="1"), status(200), concurrency=1)
    world.publish(transition(1), transition(2))
    process = world.process()
    process.step()
    process.send()
    until(lambda: world.deliveries.standing("crm").delivered == 2, "both are delivered")
    assert crm.received[1].at - crm.received[0].at >= 1


def test_a_pause_is_kept_by_the_next_process(world: World) -> None:
    """Who starts anew does not run down an endpoint that was left alone for a while."""
    crm = world.endpoint("crm", status(429, retry_after="2"), status(200))
    world.publish(transition(1))
    first = world.process()
    first.step()
    first.send()
    until(lambda: bool(world.deliveries.standing("crm").held_ms), "it is left alone")
    first.stop.request()
    first.reader.close()
    world.publish(transition(2))
    second = world.process()
    second.step()
    second.send()
    until(lambda: world.deliveries.standing("crm").delivered == 2, "both are delivered")
    assert crm.received[1].at - crm.received[0].at >= 2


def test_who_asks_for_no_pause_gets_one(world: World) -> None:
    """An endpoint that answers 429 and asks for a pause of 0 s is not run down."""
    crm = world.endpoint("crm", status(429, retry_after="0"), status(200))
    world.publish(transition(1))
    process = world.process(schedule_s=(0, 0))
    process.step()
    process.send()
    until(lambda: world.deliveries.standing("crm").delivered == 1, "it is delivered")
    first, second = crm.received
    assert second.at - first.at >= 0.4


def test_the_schedule_is_ten_attempts_over_three_days(world: World) -> None:
    """With some jitter. A longer pause that is asked for is kept; what is long overdue is given up."""
    world.endpoint("crm")
    sender = world.process(schedule_s=SCHEDULE_S).senders["crm"]
    now, pauses = 1_000_000, []
    notice = Notice("n-1", "rule", "{}", since_ms=now)
    while (again_ms := sender._again(notice, now, 0)) is not None:
        pauses.append((again_ms - now) / 1000)
        now, notice = again_ms, replace(notice, attempts=notice.attempts + 1)
    assert len(pauses) == 9
    for pause, planned in zip(pauses, SCHEDULE_S[1:], strict=True):
        assert planned <= pause <= 1.1 * planned
    assert 3 <= sum(pauses) / 86_400 <= 3.5
    assert sender._again(Notice("n-2", "rule", "{}", since_ms=now), now, 7200) == now + 7_200_000
    assert sender._again(Notice("n-3", "rule", "{}", since_ms=now - 4 * 86_400_000), now, 0) is None


def test_what_waits_for_an_endpoint_that_is_no_longer_set_is_dropped(world: World) -> None:
    """Nobody would send it, nor take it back when somebody is erased. What waits for others stays."""
    world.endpoint("crm")
    world.endpoint("log")
    world.publish(transition(1))
    first = world.process()
    first.step()
    first.reader.close()
    del world.endpoints["log"], world.rules["for_log"]
    world.process().step()
    assert [world.deliveries.standing(name).waiting for name in ("crm", "log")] == [1, 0]
    assert world.client.keys("*notices:*:log") == []


def test_a_notice_without_its_place_is_found(world: World) -> None:
    """What would never be sent, or never be dropped, is a broken invariant."""
    world.endpoint("crm")
    world.publish(transition(1))
    world.process().step()
    world.deliveries.check()
    for key in Keys("n").notices("crm")[1:3]:
        world.client.rename(key, "aside")
        with pytest.raises(StoreCorrupt, match="notices for crm"):
            world.deliveries.check()
        world.client.rename("aside", key)


def test_gone_disables_until_the_settings_change(world: World) -> None:
    """After 410 what waits is dropped, and nothing more is sent; another secret enables the endpoint."""
    crm = world.endpoint("crm", status(410), status(200), concurrency=1)
    world.publish(transition(1), transition(2))
    process = world.process()
    process.step()
    process.send()
    until(lambda: bool(world.deliveries.standing("crm").disabled), "it is disabled")
    world.publish(transition(3))
    process.step()
    standing = world.deliveries.standing("crm")
    assert (standing.waiting, standing.failed, standing.dropped) == (0, 1, 2)
    process.stop.request()
    process.reader.close()
    world.endpoints["crm"]["secrets"] = ["whsec_b3RoZXIgc2VjcmV0LCBvdGhlciBzZWNyZXQ="]
    world.publish(transition(4))
    again = world.process()
    again.step()
    again.send()
    until(lambda: world.deliveries.standing("crm").delivered == 1, "it is told again")
    assert ids(crm) == ["t-1-for_crm", "t-4-for_crm"]


def test_a_gone_endpoint_can_be_enabled_while_it_runs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that sends looks now and then whether somebody has."""
    monkeypatch.setattr(sending, "_GONE_S", 0.1)
    crm = world.endpoint("crm", status(410), status(200))
    world.publish(transition(1))
    process = world.process()
    process.step()
    process.send()
    until(lambda: bool(world.deliveries.standing("crm").disabled), "it is disabled")
    world.deliveries.enable("crm")
    world.publish(transition(2))
    process.step()
    until(lambda: world.deliveries.standing("crm").delivered == 1, "it is told again")
    assert ids(crm) == ["t-1-for_crm", "t-2-for_crm"]


def test_a_notice_that_fails_by_itself_holds_up_no_other(world: World) -> None:
    """A 500 says nothing of the endpoint: it is not left alone."""
    world.endpoint("crm", status(500), status(200), concurrency=1)
    world.publish(transition(1))
    process = world.process()
    process.step()
    process.send()
    until(lambda: bool(world.deliveries.standing("crm").recent), "it failed once")
    assert world.deliveries.standing("crm").held_ms == 0


def test_an_endpoint_that_is_down_is_left_alone_for_longer_each_time(world: World) -> None:
    """From half a second to a minute; once something was delivered it begins anew."""
    world.endpoint("crm")
    sender, notice = world.process().senders["crm"], Notice("n-1", "rule", "{}", since_ms=now_ms())

    def held_s() -> float:
        attempt = sender._judge(notice, Outcome("failed", "status 503", is_down=True))
        return (attempt.held_ms - attempt.at_ms) / 1000

    assert [held_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    sender._judge(notice, Outcome("delivered"))
    assert held_s() == 0.5


def test_an_endpoint_that_is_down_is_tried_with_one_notice_at_a_time(world: World) -> None:
    """While that takes its time the others wait, however long the endpoint was left alone."""
    is_over = threading.Event()
    crm = world.endpoint("crm", status(503), held_until(is_over), status(200), concurrency=4, timeout_s=60)
    world.publish(transition(1))
    process = world.process(schedule_s=(0, 0, 0))
    process.step()
    process.send()
    until(lambda: len(crm.received) == 2, "it is tried again")
    world.publish(*(transition(number) for number in range(2, 6)))
    process.step()
    time.sleep(1.2)
    assert len(crm.received) == 2
    is_over.set()
    until(lambda: world.deliveries.standing("crm").delivered == 5, "all are delivered")


def held_until(is_over: threading.Event) -> Answer:
    """An answer that comes then."""

    def answer(handler: Any) -> None:
        is_over.wait(60)
        status(200)(handler)

    return answer


def test_a_dead_endpoint_holds_up_no_other(world: World) -> None:
    """One does not answer, one is not there; the third has everything before the first attempt ends."""
    is_over = threading.Event()
    world.endpoint("silent", held_until(is_over), timeout_s=60)
    crm = world.endpoint("crm")
    away = world.endpoint("away")
    world.endpoints["away"]["webhook"] = away.url.replace(str(away.port), "1")
    world.publish(*(transition(number) for number in range(1, 101)))
    process = world.process()
    process.step()
    process.send()
    until(lambda: len(crm.received) == 100, "all are delivered to the third")
    standing = world.deliveries.standing("silent")
    assert (standing.waiting, standing.recent) == (100, ())
    is_over.set()


def test_old_news_is_counted_and_not_sent(world: World) -> None:
    """What was caused two hours ago floods nobody; a rule may want it all the same."""
    world.endpoint("crm")
    world.endpoint("log")
    world.rules["for_log"]["max_age"] = "3h"
    world.publish(*(transition(number, age_ms=OLD_MS) for number in range(1, 51)), transition(51))
    world.process().step()
    crm, log = (world.deliveries.standing(name) for name in ("crm", "log"))
    assert (crm.waiting, crm.old) == (1, 50)
    assert (log.waiting, log.old) == (51, 0)


def test_beyond_the_limit_the_oldest_is_dropped(world: World) -> None:
    """The newest wait, and what was dropped is counted."""
    crm = world.endpoint("crm", queue_limit=3)
    world.publish(*(transition(number) for number in range(1, 11)))
    process = world.process()
    process.step()
    standing = world.deliveries.standing("crm")
    assert (standing.waiting, standing.dropped) == (3, 7)
    process.send()
    until(lambda: len(crm.received) == 3, "three are sent")
    assert sorted(ids(crm)) == ["t-10-for_crm", "t-8-for_crm", "t-9-for_crm"]


def test_an_erasure_takes_back_what_waits(world: World) -> None:
    """Of the erased nothing is sent, as whatever they are named, whether it waited already or came with the
    erasure.
    """
    crm = world.endpoint("crm")
    names = ("absorbed_id", "former_id", "part_id", "person_id", "group_id")
    named = ({**transition(number), name: "per_gone"} for number, name in enumerate(names, 10))
    world.publish(transition(2), *named)
    process = world.process()
    process.step()
    erased = transition(21, "entity_erased", entity_id="per_20", erased_ids=["per_gone"])
    world.publish(transition(20), erased)
    process.step()
    process.send()
    until(lambda: world.deliveries.standing("crm").delivered == 1, "one is left")
    assert ids(crm) == ["t-2-for_crm"]


def test_an_erasure_takes_back_what_was_read_to_be_sent(world: World) -> None:
    """While an attempt takes its time the next ones are ready in the process: of the erased none goes out."""
    is_over = threading.Event()
    crm = world.endpoint("crm", held_until(is_over), status(200), timeout_s=60, concurrency=1)
    world.publish(*(transition(number) for number in range(1, 4)))
    process = world.process()
    process.step()
    process.send()
    until(lambda: len(crm.received) == 1, "the first is being sent")
    world.publish(transition(4, "entity_erased", entity_id="per_2"))
    process.step()
    is_over.set()
    until(lambda: world.deliveries.standing("crm").waiting == 0, "nothing is left")
    assert set(ids(crm)) == {"t-1-for_crm", "t-3-for_crm"}


def test_one_process_notifies_at_a_time(world: World) -> None:
    """A second one reads nothing and sends nothing until the first has ended."""
    world.endpoint("crm")
    first, second = world.process(), world.process()
    world.publish(transition(1))
    assert first.step() == 1
    world.publish(transition(2))
    assert second.step() == 0
    assert not second.reader.is_ours()
    first.reader.close()
    assert second.step() == 1


def test_who_was_replaced_sends_nothing_and_goes_on_where_the_other_ended(world: World) -> None:
    """A process that froze finds another in its place when it looks, and reads on once that has ended."""
    world.endpoint("crm")
    frozen, other = world.process(), world.process()
    world.publish(transition(1))
    in_hand = frozen.read()
    world.client.delete(Keys("n").notices_lock)
    world.publish(transition(2))
    other.step()
    assert frozen.reader.is_ours(), "it has not looked yet"
    assert [frozen.work.enqueue(one) for one in in_hand] == [None]
    assert frozen.step() == 0
    assert not frozen.reader.is_ours()
    other.reader.close()
    world.publish(transition(3))
    assert frozen.step() == 1
    assert world.deliveries.standing("crm").taken == 3


def line(number: int) -> Published:
    """A transition on partition 0, at the offset of its number."""
    return Published(0, number, None, json.dumps(transition(number)).encode())


def test_reading_begins_with_what_is_still_news(world: World) -> None:
    """Without a cursor as long ago as that is; of a topic that was made anew at its beginning, all of it."""
    world.endpoint("crm")

    def opened(source: InMemory) -> tuple[dict[int, int], int | None]:
        reader = Reader(world.deliveries, source, "n", world.endpoints, None, since_ms=7)
        reader.take()
        reader.close()
        return source.opened, source.since_ms

    assert opened(InMemory()) == ({}, 7)
    process = world.process(InMemory(line(1)))
    process.step()
    process.reader.close()
    assert opened(InMemory()) == ({0: 1}, 7)
    anew = InMemory()
    anew.name = "two"
    assert opened(anew) == ({}, 0)


def test_the_end_is_when_all_is_read_and_nothing_can_be_sent(world: World) -> None:
    """And when nothing more will be published; not while any of it is missing."""
    holds = {"no more": True, "quiet": True}
    waits = (lambda: holds["no more"], lambda: holds["quiet"])
    reader = Reader(world.deliveries, InMemory(line(1), line(2)), "n", (), None, 0, *waits)
    reader.take()
    assert not reader.is_worked_off()
    reader.take()
    assert reader.is_worked_off()
    for one in holds:
        holds[one] = False
        assert not reader.is_worked_off()
        holds[one] = True


def test_who_is_not_the_one_that_notifies_ends_when_somebody_else_is(world: World) -> None:
    """And not only left its lock: that would have ended by then."""
    holder = world.process()
    holder.step()
    reader = Reader(world.deliveries, InMemory(line(1)), "n", (), None, 0, lambda: True)
    reader.take()
    assert not reader.is_worked_off()
    reader._refused_since -= 12
    assert reader.is_worked_off()


def test_a_log_that_was_made_anew_is_read_from_its_beginning(world: World, tmp_path: Path) -> None:
    """Its id is another one, so the old offset says nothing."""
    world.endpoint("crm")
    world.publish(transition(1), transition(2))
    first = world.process()
    first.step()
    first.reader.close()
    other = SegmentedLog(tmp_path / "other")
    other.append([json.dumps(transition(1, transition_id="t-new", generation=2)).encode()])
    world.process(LogTransitions(other)).step()
    assert world.deliveries.standing("crm").taken == 3


def test_the_digest_comes_once_a_day(world: World) -> None:
    """It counts by kind what came since the one before, also over a restart in between."""
    world.endpoint("team")
    world.rules.clear()
    world.more["digest"] = {"at": "08:00", "to": ["team"]}
    clock = [0]

    def look(hour: float) -> list[str]:
        clock[0] = int((20_000 * 24 + hour) * 3_600_000)
        process = world.process()
        assert process.clock is not None
        process.clock._now_ms = lambda: clock[0]
        process.step()
        process.reader.close()
        return [key_text(one) for one in world.client.hkeys("nexus:{n}:notices:waiting:team")]

    assert look(6) == []
    world.publish(transition(1), transition(2), transition(3, "entity_created"))
    look(7.9)
    assert look(7.99) == []
    assert len(look(8.01)) == 1
    assert len(look(9)) == 1
    world.publish(transition(4))
    look(20)
    found = look(24 + 9)
    assert len(found) == 2
    first, last = world.deliveries.notices("team", sorted(found))
    told = [json.loads(one.body)["data"]["changes"] for one in (first, last)]
    assert told == [{"entities_merged/person": 2, "entity_created/person": 1}, {"entities_merged/person": 1}]


def test_a_digest_that_is_set_to_an_earlier_hour_comes_then(world: World) -> None:
    """And who sends is told that there is something."""
    world.endpoint("team")
    woken: list[str] = []

    def look(at: str, hour: int) -> list[str]:
        given = {"endpoints": world.endpoints, "digest": {"at": at, "to": ["team"]}}
        settings = Notifications.model_validate(given)
        assert settings.digest is not None
        instant = (20_000 * 24 + hour) * 3_600_000
        DigestClock(world.deliveries, settings, settings.digest, "n", woken.append, lambda: instant).look()
        return woken

    assert look("20:00", 6) == []
    assert look("08:00", 7) == []
    assert look("08:00", 9) == ["team"]


def test_a_key_of_a_wrong_type_changes_nothing(world: World) -> None:
    """The call fails before it writes: the cursor rests, and no notice waits."""
    world.endpoint("crm")
    world.endpoint("log")
    world.publish(transition(1))
    for key in ("due", "order", "standing"):
        name = f"nexus:{{n}}:notices:{key}:log"
        process = world.process()
        (matched,) = process.read()
        world.client.set(name, "wrong")
        with pytest.raises(Exception, match="WRONGTYPE"):
            world.deliveries.enqueue(now_ms(), matched.batch.steps, matched.changes, matched.posts)
        process.reader.close()
        world.client.delete(name)
        assert world.deliveries.cursor() == {}
        assert world.deliveries.standing("crm").waiting == 0
