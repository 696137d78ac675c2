"""The authoritative resolution on DuckDB: seconds, and the most memory that a process took for it."""

import resource
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from flows.bench.figures import Figure
from flows.bench.place import Place
from resolver.authoritative import Authoritative, Cut
from resolver.touched import Since, Touched
from schemas.identifiers import Keyring
from schemas.rules import Rules
from schemas.tables import LOG
from sinks.warehouse.duckdb import DuckDB

_UNITS_IN_MB: Final = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
_NEW: Final = 10_000  # events that come after a resolution

# Visitors of three events each, on average: on one of two devices, most of them logged in, some with their
# address; now and then on a device in a shop. What keys are made of does not matter here, so md5 makes them.
_VISITORS: Final = """
    SELECT
        i,
        CASE
            WHEN dice < 600 THEN ['anonymous_id=a' || person || '-' || i % 2, 'user_id=u' || person]
            WHEN dice < 800 THEN ['user_id=u' || person, 'email=user' || person || '@mail.test']
            WHEN dice < 950 THEN ['anonymous_id=a' || person || '-' || i % 2]
            WHEN dice < 999 THEN ['user_id=u' || person, 'email=user' || person || '@mail.test',
                                  'phone=+49170' || person]
            ELSE ['anonymous_id=shop' || person % 50, 'user_id=u' || person]
        END AS named
    FROM (
        SELECT i, (HASH(i) % ($events // 3))::BIGINT AS person, (HASH(i * 7 + 1) % 1000)::INT AS dice
        FROM RANGE($events) AS numbers(i)
    )
"""
_STAR: Final = "SELECT i, ['email=hub@mail.test', 'user_id=u' || i] AS named FROM RANGE($events) AS all_(i)"
_CHAIN: Final = "SELECT i, ['user_id=u' || i, 'user_id=u' || (i + 1)] AS named FROM RANGE($events) AS all_(i)"
_FILL: Final = """
    INSERT INTO nexus_person_identifiers BY NAME
    WITH keyed AS (
        SELECT
            i, 1700000000000 + i // 20 AS ms, 'e' || i AS event_id,
            named, [MD5(one) FOR one IN named] AS keys
        FROM ({events})
    ), rows AS (
        SELECT *, LIST_SORT(keys) AS sorted, UNNEST(named) AS name, UNNEST(keys) AS key FROM keyed
    )
    SELECT
        'events' AS topic, 0 AS log_partition, i AS log_offset, 0 AS event_index,
        MAKE_TIMESTAMP_MS(ms) AT TIME ZONE 'UTC' AS ingested_at,
        UNHEX(PRINTF('%012x', ms)) || ENCODE('bench' || CHR(0) || event_id) AS log_position,
        'bench' AS source, event_id, MAKE_TIMESTAMP_MS(ms) AT TIME ZONE 'UTC' AS occurred_at,
        0 AS participant_index, NULL AS role, 'seen' AS event_name,
        SPLIT_PART(name, '=', 1) AS identifier_type, SPLIT_PART(name, '=', 2) AS identifier_value,
        UNHEX(key) AS identifier_key,
        UNHEX(CASE WHEN LEN(sorted) = 1 THEN key ELSE MD5(ARRAY_TO_STRING(sorted, '')) END) AS set_key
    FROM rows
"""

_TABLES_MB = 600  # that the tables of a resolution may have


class Resolved(NamedTuple):
    """What a resolution took: seconds, megabytes at its peak; rounds, and the depth of the deepest tree."""

    seconds: float
    megabytes: float
    rounds: int
    depth: int


def warehouse(place: Place, scale: float) -> Iterator[Figure]:
    """A million events of visitors (times the scale), a value with a million neighbours, and a chain; for the
    visitors also how long an incremental resolution takes after some new events.
    """
    events = max(1_000, int(1_000_000 * scale))
    shapes = {"visitors": (_VISITORS, events), "star": (_STAR, events), "chain": (_CHAIN, events // 10)}
    for name, (query, count) in shapes.items():
        file = place.folder / f"{name}.duckdb"
        with _a_process() as process:
            process.submit(_fill, file, query, count).result()
        with _a_process() as process:
            found = process.submit(_resolve, file).result()
        if name == "visitors":
            with _a_process() as process:
                whole, part = process.submit(_again, file, count).result()
            what = "all tables for people"
            yield Figure("warehouse", f"{name}: {what}", whole, "s")
            yield Figure("warehouse", f"{name}: the same after {_NEW:,} new events, incremental", part, "s")
        shutil.rmtree(f"{file}.spilled", ignore_errors=True)
        file.unlink()
        is_judged = name == "visitors" and count == 1_000_000
        what = f"{name}, {count:,} events: ids, aliases and quarantine"
        yield Figure("warehouse", what, found.seconds, "s", at_most=3.5 if is_judged else None)
        peak = f"{name}: the most memory that this took"
        yield Figure("warehouse", peak, found.megabytes, "MB", at_most=900 if is_judged else None)
        yield Figure("warehouse", f"{name}: rounds", float(found.rounds), "")
        yield Figure("warehouse", f"{name}: depth of the deepest tree", float(found.depth), "")


def _a_process() -> ProcessPoolExecutor:
    """A process of its own: its peak of memory is that of the work alone."""
    return ProcessPoolExecutor(1, get_context("spawn"))


def _fill(file: Path, query: str, events: int) -> None:
    with closing(DuckDB(file)) as engine:
        engine.create(LOG)
        engine.execute(_FILL.replace("{events}", query), {"events": events})


@contextmanager
def _on(file: Path, megabytes: int) -> Iterator[DuckDB]:
    """With the log in a file, and all that is made of it in memory as far as there is room in so much: DuckDB
    packs what it writes to a file, which costs more than half as much again.
    """
    with closing(DuckDB(Path(":memory:"))) as engine:
        engine.execute(f"SET temp_directory = '{file}.spilled'")
        engine.execute(f"SET memory_limit = '{megabytes}MB'")  # the process needs some beside them
        engine.execute(f"ATTACH '{file}' AS log (READ_ONLY)")
        for table in LOG:
            engine.execute(f"CREATE VIEW {table.name} AS SELECT * FROM log.{table.name}")
        yield engine


def _resolve(file: Path) -> Resolved:
    with _on(file, _TABLES_MB) as engine:
        authoritative = Authoritative(engine, Keyring("bench"))
        began = time.perf_counter()
        report = authoritative.resolve(Rules(), [])
        authoritative.publish_identity(report)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _UNITS_IN_MB
    return Resolved(seconds, peak, report.rounds, report.depth)


def _again(file: Path, events: int) -> tuple[float, float]:
    """Seconds for all tables without the last events, and to bring them up to these."""
    before = {("events", 0): max(0, events - _NEW)}
    # a table for people is made in one statement, of which not all can wait outside of memory
    with _on(file, max(_TABLES_MB, _TABLES_MB * events // 1_000_000)) as engine:
        whole = _tables(Authoritative(engine, Keyring("bench")), before)
        part = Touched(engine, Rules(), Since(before, (), 0))
        seconds = _tables(Authoritative(engine, Keyring("bench"), part=part), {("events", 0): events})
    return whole, seconds


def _tables(authoritative: Authoritative, cut: Cut) -> float:
    began = time.perf_counter()
    report = authoritative.resolve(Rules(), [], cut)
    authoritative.describe(Rules(), 0)
    authoritative.publish(report, 0)
    return time.perf_counter() - began
