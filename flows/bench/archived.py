"""How far the event log lies behind the stream, and how fast it catches up."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from flows.bench.figures import Figure, quantile
from flows.bench.place import Place
from flows.bench.traffic import messages
from flows.log_reader import TOPIC
from flows.resolve import Counts
from flows.running import Flow, Run, archive_flow, publish_flow, resolve_flow, run_flows
from flows.settings import Settings
from flows.stopping import Crash, Stop
from flows.wiring import Wiring
from schemas.records import encode_record

RATE = 1_000  # messages a second
_SECONDS = 60
_EVERY_S = 0.02  # between two appends, and between two looks
_LAST_S = 60.0
_BACKLOG = 50_000


def archived(place: Place, scale: float) -> Iterator[Figure]:
    """`nexus run`, embedded, at a steady rate; then the archive alone, on a backlog."""
    settings = place.settings("archived")
    behind = _behind(settings, max(2.0, _SECONDS * min(scale, 1)))
    what = f"behind the stream at {RATE:,} messages a second"
    yield Figure("archive", f"{what}, p50", quantile(behind, 0.5), "s")
    yield Figure("archive", f"{what}, most", behind[-1], "s")
    yield Figure("archive", "alone, on a backlog", _alone(settings, int(_BACKLOG * scale)), "msg/s")


def _behind(settings: Settings, seconds: float) -> list[float]:
    """How many seconds after the stream each message was in the event log, ascending."""
    with Wiring(settings) as parts:
        stop, fed, event_log = Stop(), threading.Event(), parts.event_log()
        run, ends = Run(stop, Counts()), list[int]()
        stream = _Watched(lambda: parts.store.offsets(TOPIC), ends)
        archive = _Watched(
            lambda: {n: at for (name, n), at in event_log.offsets().items() if name == TOPIC}, ends
        )

        def feed() -> None:
            _feed(parts, int(RATE * seconds), ends)
            fed.set()

        def watch() -> None:
            deadline = time.monotonic() + seconds + _LAST_S
            while not (fed.is_set() and archive.is_done()) and time.monotonic() < deadline:
                stream.look()
                archive.look()
                time.sleep(_EVERY_S)
            stop.request()

        for work in (feed, watch):
            threading.Thread(target=work, daemon=True).start()
        flows = [make(parts, run, Crash()) for make in (resolve_flow, publish_flow, archive_flow)]
        _run(flows, stop)
    return sorted(at - before for before, at in zip(stream.seen, archive.seen, strict=False))


class _Watched:
    """Somebody who passes the offsets in `ends`: `seen` is when each was seen to be passed."""

    def __init__(self, offsets: Callable[[], Mapping[int, int]], ends: list[int]) -> None:
        self._offsets, self._ends = offsets, ends
        self.seen: list[float] = []

    def look(self) -> None:
        """See how far it is."""
        at, now = self._offsets().get(0, 0), time.monotonic()
        while not self.is_done() and self._ends[len(self.seen)] <= at:
            self.seen.append(now)

    def is_done(self) -> bool:
        """Whether it has passed all that there are."""
        return len(self.seen) == len(self._ends)


def _feed(parts: Wiring, count: int, ends: list[int]) -> None:
    """Append messages to the input at the rate, and note where each append ends."""
    log, each = parts.log(TOPIC), int(RATE * _EVERY_S)
    lines = _lines(count)
    began = time.monotonic()
    for number in range(0, count, each):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        ends.append(log.append(lines[number : number + each]))


def _lines(count: int) -> list[bytes]:
    now_ms = int(time.time() * 1000)
    return [
        encode_record(one.value, ingested_at_ms=now_ms, key=one.key, headers=one.headers)
        for one in messages("growth", "event", count)
    ]


def _alone(settings: Settings, count: int) -> float:
    """Messages a second, from an empty event log to one that has everything."""
    with Wiring(settings) as parts:
        parts.log(TOPIC).append(_lines(count))
        shutil.rmtree(settings.data / settings.namespace / "events")
        stop = Stop()
        run = Run(stop, Counts())
        flow = archive_flow(parts, run, Crash(), lambda: True)
        began = time.monotonic()
        _run([flow], stop)
        assert run.archiver is not None
        return run.archiver.counts.messages / (time.monotonic() - began)


def _run(flows: list[Flow], stop: Stop) -> None:
    """Run them. Who is told to end, as by SIGTERM, waits for them: Python cannot be taken down under them."""
    try:
        run_flows(flows, stop)
    finally:
        stop.request()
        for flow in flows:
            flow.ended.wait(10)
