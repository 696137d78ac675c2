"""`nexus run` and `nexus publish`: the flows, their input, and what the screen says about them."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

from flows.alive import SignOfLife
from flows.ingest import RECORD, Ingest
from flows.progress import progress
from flows.reader import AtEnd
from flows.resolve import Counts
from flows.running import Flow, Run, archive_flow, notify_flow, publish_flow, resolve_flow, run_flows
from flows.settings import Settings
from flows.settling import Settling
from flows.stopping import Crash, Stop
from flows.ticking import Ticking
from flows.warehouses import NONE as NO_EVENT_LOG
from flows.watch import Watch
from flows.wiring import Wiring
from schemas.errors import SettingsError
from schemas.sources import FORMATS

Say = Callable[[str], None]

_ATTEMPTS_S = 1.0  # for attempts to deliver a notice that are in hand at the end


@dataclass(frozen=True, slots=True)
class Source:
    """A file or standard input that is appended to the input log."""

    path: Path | None
    format_name: str
    from_occurred_at: bool

    @classmethod
    def parse(
        cls, settings: Settings, source: str | None, format_name: str | None, is_import: bool
    ) -> Self | None:
        """What `--source` and `--as` mean together; None for the input as it is. Raises SettingsError."""
        if source is None and is_import:
            raise SettingsError("--import says when the lines of a --source count: name the file, or -")
        if source is None or (source == "kafka" and settings.source == "kafka"):
            return None
        if source == "kafka":
            raise SettingsError("--source kafka needs kafka.bootstrap.servers in the settings")
        if settings.source == "kafka":
            raise SettingsError(
                "with Kafka in the settings the input is its topics: produce the file to one of them"
            )
        allowed = (*FORMATS, RECORD)
        if format_name not in allowed:
            raise SettingsError(f"say what the lines are with --as: {', '.join(allowed)}")
        path = None if source == "-" else Path(source)
        if path is not None and not path.is_file():
            raise SettingsError(f"there is no file {source}")
        return cls(path, format_name, is_import)

    def open(self) -> BinaryIO:
        """The stream of bytes. Standard input has no buffer: a thread that waits for a writer would hold its
        lock when the process ends, which Python answers with an abort.
        """
        if self.path is None:
            return cast(BinaryIO, open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
        return self.path.open("rb")

    @property
    def size(self) -> int | None:
        """Bytes, where it is known."""
        return None if self.path is None else self.path.stat().st_size


class Production:
    """Runs flows until they are told to end and says what they do. The file `alive` is its sign of life."""

    def __init__(
        self, settings: Settings, source: Source | None, say: Say, alive: Path | None = None
    ) -> None:
        self._settings, self._source, self._say = settings, source, say
        self._life = SignOfLife(alive)
        self._stop = Stop()
        self._crash = Crash(os.environ.get("NEXUS_TEST_CRASH_AT"))

    def run(self, only: str | None, *, until_end: bool = False, from_beginning: bool = False) -> None:
        """Run `resolve`, `publish`, `notify`, `archive`, or (None) all of them that have something to do:
        `notify` with notifications set, `archive` with a warehouse.
        """
        if only == "notify" and not self._settings.notifications.are_set:
            raise SettingsError("there are no notifications in the settings: see docs/notifications.md")
        if only == "archive" and self._settings.warehouse_engine == "none":
            raise SettingsError(NO_EVENT_LOG)
        self._stop.on_signals()
        with Wiring(self._settings) as parts:
            parts.prepare_topics()
            parts.store.sequence()  # what refuses to start does so in one line
            for name, place in parts.places:
                self._say(f"{name:>15}: {place}")
            run = Run(self._stop, Counts(), life=self._life)
            ingest = self._ingest(parts)
            at_end = _AtEnd(parts, ingest) if until_end else None
            flows = self._flows(parts, run, only, at_end, from_beginning=from_beginning)
            run.life.start(self._stop)
            started = time.monotonic()
            try:
                with self._progress(run, ingest if until_end else None) as show:
                    run_flows(flows, self._stop, show)
            finally:  # a run that failed, or was told to end, has done something, too
                run.finish(_ATTEMPTS_S)
                self._say(_summary(run, time.monotonic() - started))

    def _flows(
        self, parts: Wiring, run: Run, only: str | None, at_end: AtEnd | None, *, from_beginning: bool
    ) -> list[Flow]:
        """The flows to run. `at_end` says when the run is to end; then each ends after the one before it."""
        flows: list[Flow] = []
        before: list[threading.Event] = []  # what the publisher waits for, when the run is to end
        if only in {None, "resolve"}:
            flows.append(resolve_flow(parts, run, self._crash, at_end, from_beginning=from_beginning))
            patience_s = self._settings.stall_alarm_s
            Watch(parts.store.progress, parts.at_end, self._stop, patience_s).start()
            settling = Settling(parts.restructuring, self._stop, self._crash, parts.settings_in_force)
            settling.start(flows[0].ended.is_set if at_end else None)
            ticking = Ticking(parts.store, parts.at_end, self._stop)
            ticking.start(settling.ended.is_set if at_end else None)
            before.append(ticking.ended)
        no_more = (lambda: all(one.is_set() for one in before)) if at_end else None
        if only in {None, "publish"}:
            flows.append(publish_flow(parts, run, self._crash, no_more))
        published = flows[-1].ended.is_set if flows else lambda: True
        if only in {None, "notify"} and self._settings.notifications.are_set:
            flows.append(notify_flow(parts, run, self._crash, published if at_end else None))
        if only in {None, "archive"} and self._settings.warehouse_engine != "none":
            flows.append(archive_flow(parts, run, self._crash, published if at_end else None))
        return flows

    @contextmanager
    def _progress(self, run: Run, ingest: Ingest | None) -> Iterator[Callable[[], None] | None]:
        """A bar over the bytes of a file, moved by how many of its lines are resolved; none where no end is
        known.
        """
        total = self._source.size if self._source is not None and ingest is not None else None
        if ingest is None or total is None:
            yield None
            return
        with progress("resolving", total, "bytes") as show:
            yield lambda: show(ingest.bytes * min(run.counts.messages, ingest.lines) // max(ingest.lines, 1))

    def _ingest(self, parts: Wiring) -> Ingest | None:
        """Append the source in a thread of its own: the flows read what is there already."""
        source = self._source
        if source is None:
            return None
        ingest = Ingest(parts.log("input"), source.format_name, from_occurred_at=source.from_occurred_at)

        def append() -> None:
            try:
                with closing(source.open()) as stream:
                    ingest.append(stream, self._stop)
            except Exception as error:  # noqa: BLE001 -- told by the run that it ends
                self._stop.fail(error)

        threading.Thread(target=append, name="ingest", daemon=True).start()
        return ingest

    def snapshot(self) -> None:
        """Ask for the whole answer anew, publish until it is out, or wait while another publisher does."""
        self._stop.on_signals()
        with Wiring(self._settings) as parts:
            parts.prepare_topics()
            store, request = parts.store, parts.store.request_snapshot()
            run = Run(self._stop, Counts())
            flow = publish_flow(parts, run, self._crash, lambda: True)
            run_flows([flow], self._stop)
            done = not 0 < store.snapshot_due() <= request
            self._say("the whole answer is sent" if done else "stopped before the whole answer was sent")


class _AtEnd:
    """Whether the input is worked off: what was to be appended is, and the store has passed it."""

    def __init__(self, parts: Wiring, ingest: Ingest | None) -> None:
        self._parts, self._ingest = parts, ingest
        self._end: AtEnd | None = parts.at_end() if ingest is None else None

    def __call__(self) -> bool:
        if self._ingest is not None and not self._ingest.is_done:
            return False
        if self._end is None:
            self._end = self._parts.at_end()
        return self._end()


def _summary(run: Run, seconds: float) -> str:
    counts, published = run.counts, run.publisher.published if run.publisher else 0
    operations = f"{counts.operations:,} operator events; " if counts.operations else ""
    rate = f", {counts.messages / seconds:,.0f} a second" if counts.messages else ""
    return (
        f"{counts.messages:,} messages{rate}: {counts.events:,} events, {counts.skipped:,} that "
        "concern nobody, "
        f"{counts.dead_letters:,} dead letters; {operations}{counts.transitions:,} transitions made, "
        f"{published:,} published{_notified(run)}{_archived(run)}"
    )


def _notified(run: Run) -> str:
    if run.notifier is None:
        return ""
    delivered = sum(sender.delivered for sender in run.senders.values())
    return f"; {run.notifier.enqueued:,} notices enqueued, {delivered:,} delivered"


def _archived(run: Run) -> str:
    return f"; {run.archiver.counts.rows:,} rows archived" if run.archiver is not None else ""
