"""flows.reconcile: the job that compares the stream with the warehouse, and repairs it.

It is no flow of Bytewax: it runs, says what it found, and ends. Cron starts it, or `--every`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from flows.log_reader import CONTROL, TOPIC
from flows.settings import Settings
from flows.stopping import Stop
from flows.warehouses import connect
from flows.wiring import Wiring
from resolver.rebuild import Rebuild, Show
from resolver.reconcile import Extent, Kind, LogInWarehouse, Reconciliation, Report, Say
from resolver.store import Cut
from schemas.errors import SettingsError, StoreUnavailable
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from sinks.warehouse.segments import Manifest
from sinks.warehouse.tabled import begin, offsets_in

log = logging.getLogger("nexus.reconcile")

_LOOK_S: Final = 0.2
_ASK_S: Final = 3.0  # a question to a warehouse in the cloud costs
_PATIENCE_S: Final = 600.0
_WORDS: Final[Mapping[Kind, str]] = {
    "identifier_elsewhere": "identifiers in another entity",
    "identifier_missing": "identifiers that the stream does not have",
    "identifier_extra": "identifiers that only the stream has",
    "id_differs": "identifiers whose entity has another id",
    "trait": "traits",
    "membership": "memberships",
    "state": "intervals of states",
}
STEPS: Final[Mapping[str, str]] = {
    "cut": "taking a cut",
    "wait": "waiting for the event log",
    "resolve": "resolving in the warehouse",
    "compare": "comparing with the stream",
    "repair": "repairing",
}
"""What a run does, one after the other, in the words for people."""


class FolderWarehouse:
    """The event log in a folder, and the DuckDB file beside it, which nobody else may have open."""

    def __init__(self, folder: Path, file: Path, stop: Stop) -> None:
        """Raises SinkUnavailable while another process has the file."""
        self._folder, self._stop = folder, stop
        self.engine = DuckDB(file)

    def reach(self, cut: Cut) -> None:
        """Wait until the archive has passed the cut, then look at the log as it is at that moment."""
        _reach(self.look, cut, self._stop, _LOOK_S)

    def look(self) -> Mapping[tuple[str, int], int]:
        """Look at the log as it is now; the offsets at which it ends. Empty: there is no log."""
        manifest = Manifest.read(self._folder)
        if manifest is None:
            return {}
        for statement in manifest.to_sql(self._folder).split(";\n"):
            if statement.strip():
                self.engine.execute(statement)
        return manifest.places()

    def close(self) -> None:
        """Let go of the file."""
        self.engine.close()


class CloudWarehouse:
    """The event log in the tables of a warehouse, which holds what is made of it as well."""

    def __init__(self, engine: Engine, settings: Settings, stop: Stop) -> None:
        self._namespace, self._waits_s, self._stop = settings.namespace, settings.warehouse.waits_s, stop
        self.engine = engine
        begin(engine)

    def reach(self, cut: Cut) -> None:
        """Wait until the archive has passed the cut. What comes behind it is left out by every statement."""
        _reach(self.look, cut, self._stop, _ASK_S, 2 * self._waits_s)

    def look(self) -> Mapping[tuple[str, int], int]:
        """The offsets at which the log ends now. Empty: there is no log."""
        return offsets_in(self.engine, self._namespace)

    def close(self) -> None:
        """Let go of the connection."""
        self.engine.close()


def _reach(
    look: Callable[[], Mapping[tuple[str, int], int]], cut: Cut, stop: Stop, every_s: float, more_s: float = 0
) -> None:
    """Look again and again until the log has all of the cut. Raises StoreUnavailable when that takes long."""
    until = time.monotonic() + _PATIENCE_S + more_s
    while True:
        places = look()
        if places and not missing(cut, places):
            return
        if not places and not any(cut.offsets.values()):
            raise StoreUnavailable("nothing has come in yet: there is nothing to reconcile")
        if stop.requested:
            raise StoreUnavailable("told to stop while waiting for the event log")
        if time.monotonic() > until:
            lacks = ", ".join(missing(cut, places)) if places else "everything"
            raise StoreUnavailable(
                f"the event log is behind the stream on {lacks}: is `nexus run archive` running?"
            )
        stop.wait(every_s)


def missing(cut: Cut, places: Mapping[tuple[str, int], int]) -> list[str]:
    """The partitions, as people know them, of which the log does not have all that the store has read."""
    return [
        f"{topic}/{partition}"
        for (topic, partition), offset in cut.offsets.items()
        if places.get((topic, partition), 0) < offset
    ]


@contextmanager
def warehouse(parts: Wiring, stop: Stop) -> Iterator[FolderWarehouse | CloudWarehouse]:
    """The warehouse of the settings. Raises SettingsError where there is none."""
    settings = parts.settings
    match settings.warehouse_engine:
        case "none":
            raise SettingsError(
                "there is no warehouse to reconcile with: set warehouse.engine to duckdb, bigquery or "
                "snowflake"
            )
        case "duckdb":
            home = settings.data / settings.namespace
            with closing(FolderWarehouse(home / "events", home / "warehouse.duckdb", stop)) as found:
                yield found
        case _:
            with closing(CloudWarehouse(connect(settings), settings, stop)) as tables:
                yield tables


def reconcile(
    parts: Wiring, stop: Stop, say: Say, *, is_dry: bool, trusts_log: bool, extent: Extent
) -> Report:
    """One run, see `resolver.reconcile`."""
    parts.keep_rules_in_force()
    with warehouse(parts, stop) as found:
        restructuring = parts.restructuring(lambda _: None)
        job = Reconciliation(parts.client, parts.settings.namespace, parts.store, found, restructuring, say)
        return job.run(is_dry=is_dry, trusts_log=trusts_log, extent=extent)


def rebuild(parts: Wiring, stop: Stop, show: Show) -> int:
    """Fill an empty store from the event log, see `resolver.rebuild`; how many events."""
    settings = parts.settings
    with warehouse(parts, stop) as found:
        section = settings.input
        topics = {TOPIC, CONTROL} if settings.source == "log" else {*section.topics, section.control}
        places = {place: offset for place, offset in found.look().items() if place[0] in topics}
        if not places:
            raise SettingsError("there is no event log to rebuild from: `nexus run archive` fills it")
        restructuring = parts.restructuring(lambda _: None)
        return Rebuild(parts.store, LogInWarehouse(found), restructuring, show).run(places)


def repeatedly(every_s: float, stop: Stop, run: Callable[[], None]) -> None:
    """Run again and again, so many seconds from one beginning to the next, until told to stop."""
    while not stop.requested:
        began = time.monotonic()
        run()
        stop.wait(max(0.0, every_s - (time.monotonic() - began)))


def page(report: Report) -> Iterator[str]:
    """A report for people, line by line."""
    since = ", of whom something happened to since the last run" if report.is_incremental else ""
    yield f"cut {report.cut}, rules {report.rules}: {report.compared:,} identifiers compared{since}"
    if report.is_clean:
        yield "no drift: the stream's answer is the warehouse's"
    for kind, count in report.drift.items():
        yield f"drift: {count:,} {_WORDS[kind]}"
        for each in report.examples.get(kind, ())[:3]:
            yield f"    {', '.join(each['entity_ids'])}: {each['about']}"
    if report.busy:
        yield f"{report.busy:,} entities changed while they were compared"
    if report.pending:
        yield f"{report.pending:,} were pending: only the log could tell"
    if report.repaired:
        yield f"{report.repaired:,} identifiers were resolved anew"
    elif report.is_dry and not report.is_clean:
        yield "nothing was repaired: this was a dry run"
