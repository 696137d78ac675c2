"""The event log in a folder: Parquet files that any number of readers may read while it grows.

    manifest.json              which files are the log, and how far it is
    log.sql                    a view of each table, for DuckDB
    segments/000000000017/     what one load brought, or what became of several: a file for each table

A segment never changes. What the log is says the manifest alone, which is replaced as a whole: so a load is
visible with its offsets or not at all, and a reader that has one manifest sees one moment of the log, across
all tables. A segment is named by the number of the manifest that it was made for: a load that was killed is
made again under the same name, over what is left of it.

Small segments are put together by and by, a few of a size into one of the next size. Those that they were
stay for some minutes, for readers that have an older manifest; after an erasure they go at once, and such a
reader is told that a file is missing, and reads the manifest again.

Parquet is written by pyarrow, because it takes columns from Python as they are, typed, and writes the same
files that the load jobs of BigQuery and Snowflake take; DuckDB would want them by way of JSON, or of pyarrow.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.erased_rows import IDENTIFIERS, TELLING, Ended, redacted_rows, without_erased
from schemas.erasures import Erasures
from schemas.errors import SinkUnavailable, StartRefused
from schemas.identifiers import Keyring
from schemas.log_rows import Row, Rows
from schemas.tables import LOG, tables
from schemas.transitions import Change, EntityErased, from_json
from sinks.segments import make_folder, sync_folder, try_lock
from sinks.warehouse.arrow import arrow_table
from sinks.warehouse.promise import Load, Standing, standing_of

_FORMAT: Final = 1
_FAN: Final = 8  # segments of a size that become one of the next
_SMALL_ROWS: Final = 10_000  # in a segment of the first size
_LARGE_ROWS: Final = 1_000_000  # more are not put together: a segment has to fit into memory
_GRACE_S: Final = 600.0  # how long a reader may go on with the manifest that it has

_Table: TypeAlias = Any  # pyarrow has no annotations of its own


class _Segment(BaseModel):
    """A segment, and how many rows of each table it has."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: dict[str, int]

    @property
    def size(self) -> int:
        """Its rows in all."""
        return sum(self.rows.values())


class Manifest(BaseModel):
    """What the log is at one moment. `offsets`: by topic and partition. `former`: segments that are no longer
    part of it, with the second since when; who has an older manifest may still read them.
    """

    model_config = ConfigDict(frozen=True)

    format: int = _FORMAT
    number: int = 0
    offsets: dict[str, dict[int, int]] = {}
    topics: dict[str, str] = {}
    segments: tuple[_Segment, ...] = ()
    former: dict[str, float] = {}

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder; None where there is no log yet."""
        try:
            found = cls.model_validate_json((folder / "manifest.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise StartRefused(f"{folder / 'manifest.json'} is no manifest of an event log") from None
        if found.format != _FORMAT:
            raise StartRefused(f"the event log in {folder} was written by another version of Nexus")
        return found

    def files(self, folder: Path, table: str) -> list[Path]:
        """The files of a table, in the order in which they came: at least one."""
        return [_file(folder, one, table) for one in self.segments if table in one.rows]

    def places(self) -> Mapping[tuple[str, int], int]:
        """The offsets, by topic and partition together."""
        return {
            (topic, partition): offset
            for topic, offsets in self.offsets.items()
            for partition, offset in offsets.items()
        }

    def to_sql(self, folder: Path) -> str:
        """A view of each table, as of this moment, for DuckDB."""
        views = []
        for table in LOG:
            files = (str(path.absolute()).replace("'", "''") for path in self.files(folder, table.name))
            listed = ",\n  ".join(f"'{path}'" for path in files)
            views.append(f"CREATE OR REPLACE VIEW {table.name} AS\nFROM read_parquet([\n  {listed}\n]);\n")
        return "\n".join(views)


class SegmentedEventLog:
    """The event log of a namespace in a folder of its own. See the module, and `EventLog` for the promise.

    `step` is told of each point at which a process may be killed between two writes, for the chaos suite.
    """

    def __init__(
        self, folder: Path, keyring: Keyring, step: Callable[[str], None] = lambda _point: None
    ) -> None:
        self.folder, self._keyring, self._step = folder, keyring, step
        self._lock: int | None = None
        self._manifest = Manifest()

    # where it stands

    def open(self) -> Standing | None:
        """Take the lock, clear away what a killed process has left, and read the manifest."""
        make_folder(self.folder / "segments")
        try:
            if not self._is_ours():
                return None
            found = Manifest.read(self.folder)
            if found is None:
                empty = {table.name: _table(table.name, []) for table in LOG}
                found = Manifest(segments=(self._write("000000000000", empty),))
                self._replace(found)
            self._manifest = found
            self._tell()
            self._drop({path.name for path in (self.folder / "segments").iterdir()} - self._known())
            return self._standing()
        except OSError as error:
            raise self._unavailable(error) from error

    def _is_ours(self) -> bool:
        if self._lock is None:
            lock = os.open(self.folder / "archive.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not try_lock(lock, fcntl.LOCK_EX):
                os.close(lock)
                return False
            self._lock = lock
        return True

    def _standing(self) -> Standing:
        erasures = Erasures(self._keyring)
        place = tables()["nexus_operator_events"].place
        for path in self._manifest.files(self.folder, "nexus_operator_events"):
            for row in _rows(_read(path)):
                if row[place("kind")] == "erase":
                    keys = json.loads(row[place("operation")])["keys"]
                    erasures.learn(map(bytes.fromhex, keys), row[place("log_position")])
        ended = tuple(one for one in self._changes({"entity_erased"}) if isinstance(one, EntityErased))
        manifest = self._manifest
        return Standing(manifest.places(), manifest.topics, erasures.positions, ended)

    def _changes(self, kinds: Set[str]) -> Iterator[Change]:
        """The transitions of these kinds."""
        for path in self._manifest.files(self.folder, "nexus_transitions"):
            yield from _changes_in(path, kinds)

    def _known(self) -> set[str]:
        return {one.name for one in self._manifest.segments} | self._manifest.former.keys()

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """As the manifest says that counts now."""
        return (Manifest.read(self.folder) or Manifest()).places()

    # a load

    def load(self, load: Load) -> bool:
        """Write a segment, and those that an erasure changes, and make them visible with the steps."""
        is_in = standing_of(load, self._manifest.places())
        if is_in is not None:
            return is_in
        try:
            self._load(load)
        except OSError as error:
            self._look_again()
            raise self._unavailable(error) from error
        return True

    def _look_again(self) -> None:
        """After a failure: it may have come when the next manifest was in its place already."""
        with contextlib.suppress(OSError):
            self._manifest = Manifest.read(self.folder) or self._manifest

    def _load(self, load: Load) -> None:
        number = self._manifest.number + 1
        segments, gone = list(self._manifest.segments), set[str]()
        if load.erased or load.ended:
            segments = list(self._without_erased(load, f"{number:012d}"))
            gone = self._known() - {one.name for one in segments}
        if any(load.rows.values()):
            written = {name: _table(name, rows) for name, rows in load.rows.items() if rows}
            segments.append(self._write(f"{number:012d}", written))
        offsets = {topic: dict(of_topic) for topic, of_topic in self._manifest.offsets.items()}
        for step in load.steps:
            offsets.setdefault(step.topic, {})[step.partition] = step.next
        changes = {
            "number": number,
            "offsets": offsets,
            "topics": {**self._manifest.topics, **load.topics},
            "segments": tuple(segments),
            "former": {name: at for name, at in self._manifest.former.items() if name not in gone},
        }
        self._step("segment")
        self._replace(self._manifest.model_copy(update=changes))
        self._drop(gone)

    def _without_erased(self, load: Load, name: str) -> Iterator[_Segment]:
        """The segments without what the load's erasures cover: those that are changed, under new names."""
        erasures = Erasures(self._keyring, dict(load.erased))
        erasures.update(self._standing().erased)
        ended = [Ended.of(erasures, one, self._changes(TELLING)) for one in load.ended]
        counter = itertools.count(1)
        for segment in self._manifest.segments:
            files = {table: _file(self.folder, segment, table) for table in segment.rows}
            changed = _covered(files, erasures, load.erased.keys()) | _redacted(files, ended)
            if not changed:
                yield segment
                continue
            others = {table: _read(path) for table, path in files.items() if table not in changed}
            yield self._write(f"{name}-{next(counter)}", others | changed)

    # files

    def _write(self, name: str, written: Mapping[str, _Table]) -> _Segment:
        """A segment on disk, whole. It replaces one of this name, which nobody can have been told of."""
        final, unfinished = (self.folder / "segments" / each for each in (name, f"{name}.new"))
        for path in (final, unfinished):
            shutil.rmtree(path, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        for table, rows in written.items():
            with (unfinished / f"{table}.parquet").open("wb") as file:
                pq.write_table(rows, file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())
        sync_folder(unfinished)
        unfinished.rename(final)
        sync_folder(final.parent)
        return _Segment(name=name, rows={table: rows.num_rows for table, rows in written.items()})

    def _replace(self, manifest: Manifest) -> None:
        """Make another manifest the one that counts."""
        unfinished = self.folder / "manifest.json.new"
        with unfinished.open("w", encoding="utf-8") as file:
            file.write(manifest.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self.folder / "manifest.json")
        sync_folder(self.folder)
        self._manifest = manifest
        self._step("manifest")
        self._tell()

    def _tell(self) -> None:
        """Write the views: not synced, since whoever opens the log does it again."""
        unfinished = self.folder / "log.sql.new"
        unfinished.write_text(self._manifest.to_sql(self.folder), encoding="utf-8")
        unfinished.rename(self.folder / "log.sql")

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            shutil.rmtree(self.folder / "segments" / name, ignore_errors=True)

    # keeping it quick to read

    def tidy(self) -> None:
        """Put some small segments together, and drop those that nobody reads any more."""
        try:
            self._forget_former()
            self._put_together()
        except OSError as error:
            self._look_again()
            raise self._unavailable(error) from error

    def _forget_former(self) -> None:
        former = self._manifest.former
        gone = {name for name, at in former.items() if not 0 <= time.time() - at < _GRACE_S}
        if gone:
            kept = {name: at for name, at in former.items() if name not in gone}
            self._replace(self._manifest.model_copy(update={"former": kept}))
            self._drop(gone)

    def _put_together(self) -> None:
        few = _few_of_a_size(self._manifest.segments)
        if not few:
            return
        number = self._manifest.number + 1
        names = {one.name for one in few}
        whole: dict[str, list[_Table]] = defaultdict(list)
        for segment in few:
            for table in segment.rows:
                whole[table].append(_read(_file(self.folder, segment, table)))
        one = self._write(f"{number:012d}", {name: pa.concat_tables(parts) for name, parts in whole.items()})
        kept = tuple(each for each in self._manifest.segments if each.name not in names)
        former = {**self._manifest.former, **dict.fromkeys(sorted(names), time.time())}
        self._step("together")
        changes = {"number": number, "segments": (*kept, one), "former": former}
        self._replace(self._manifest.model_copy(update=changes))

    def close(self) -> None:
        """Let another process have the log."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _unavailable(self, error: OSError) -> SinkUnavailable:
        return SinkUnavailable(f"cannot write the event log in {self.folder}: {error.strerror or error}")


def _few_of_a_size(segments: Iterable[_Segment]) -> list[_Segment]:
    """Some segments of one size, the smallest first, that are to become one; none where there are too few."""
    sizes: dict[int, list[_Segment]] = defaultdict(list)
    for segment in segments:
        size, most = 0, _SMALL_ROWS
        while segment.size > most:
            size, most = size + 1, most * _FAN
        sizes[size].append(segment)
    for _, found in sorted(sizes.items()):
        few = found[:_FAN]
        if len(few) == _FAN and sum(one.size for one in few) <= _LARGE_ROWS:
            return few
    return []


def _covered(files: Mapping[str, Path], erasures: Erasures, keys: Set[bytes]) -> dict[str, _Table]:
    """The tables of a segment that change, as they are without what an erasure of these keys covers."""
    at = pa.array(sorted(_named_at(files, keys)), pa.int64())
    others, rows = {}, Rows()
    for name, path in files.items():
        if len(at) and "event_index" in tables()[name].names:
            table = _read(path)
            is_there = pc.is_in(table["log_offset"], value_set=at)  # whole events, and some others
            others[name], rows[name] = table.filter(pc.invert(is_there)), _rows(table.filter(is_there))
        elif keys and name == "nexus_operator_events":
            table = _read(path)
            others[name], rows[name] = table.slice(0, 0), _rows(table)
    left = without_erased(rows, erasures)
    changed = [name for name in rows if rows[name] != left[name]]
    return {name: pa.concat_tables([others[name], _table(name, left[name])]) for name in changed}


def _named_at(files: Mapping[str, Path], keys: Set[bytes]) -> set[int]:
    """The offsets of the events that name one of these identifiers."""
    wanted, found = pa.array(sorted(keys), pa.binary()), set[int]()
    for name in IDENTIFIERS:
        if name in files and keys:
            table = _read(files[name], ("identifier_key", "log_offset"))
            is_named = pc.is_in(table["identifier_key"], value_set=wanted)
            found.update(table.filter(is_named)["log_offset"].to_pylist())
    return found


def _redacted(files: Mapping[str, Path], ended: list[Ended]) -> dict[str, _Table]:
    """The same of transitions."""
    name = "nexus_transitions"
    if not ended or name not in files:
        return {}
    before, after = _rows(_read(files[name])), redacted_rows(_changes_in(files[name]), ended)
    return {name: _table(name, after)} if before != after else {}


def _changes_in(path: Path, kinds: Set[str] | None = None) -> Iterator[Change]:
    """The transitions in a file, of these kinds. A file without one of them is not read but for that."""
    if kinds is not None:
        wanted = pa.array(sorted(kinds), pa.string())
        is_meant = pc.is_in(_read(path, ("transition",))["transition"], value_set=wanted)
        if not pc.any(is_meant).as_py():
            return
        texts = _read(path, ("message",)).filter(is_meant)["message"]
    else:
        texts = _read(path, ("message",))["message"]
    for text in texts.to_pylist():
        change = from_json(text.encode())
        assert isinstance(change, Change), "only changes are archived"
        yield change


def _file(folder: Path, segment: _Segment, table: str) -> Path:
    return folder / "segments" / segment.name / f"{table}.parquet"


def _read(path: Path, columns: Sequence[str] | None = None) -> _Table:
    return pq.ParquetFile(path).read(None if columns is None else list(columns))


def _table(name: str, rows: Iterable[Row]) -> _Table:
    """Rows as columns of the types of their table."""
    return arrow_table({column.name: column.type for column in tables()[name].columns}, rows)


def _rows(table: _Table) -> list[Row]:
    """Columns as rows, with instants in milliseconds."""
    columns = (
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in table.columns
    )
    return list(zip(*columns, strict=True))
