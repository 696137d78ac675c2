"""What every warehouse promises: see `sinks.warehouse.engine`."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from schemas.errors import NexusError, StartRefused, TerminalError
from schemas.tables import Column, quoted, tables
from sinks.warehouse.duckdb import DuckDB
from sinks.warehouse.engine import Engine
from sinks.warehouse.statements import TYPES
from tests.sinks.warehouse.boxes import BOXES, LIDS, SEEN, SEEN_MS, box, file_of, names
from tests.sinks.warehouse.conftest import Connect
from tests.sinks.warehouse.reading import required


def test_every_table_of_the_project_can_be_made(engine: Engine) -> None:
    """All tables are made, and a second time nothing is to be done."""
    declared = [table for table in tables().values() if table.layer != "view"]
    engine.create(declared)
    engine.create(declared[:2])
    for table in declared:
        assert list(engine.rows(f"SELECT {', '.join(table.names)} FROM {table.name}")) == []


def test_tables_are_as_they_are_declared(engine: Engine) -> None:
    """Each column has its type, and has to have a value where the declaration says so."""
    made = [table for table in tables().values() if table.layer != "view"]
    engine.create(made)
    for table in made:
        types = {one.name: TYPES[engine.dialect][one.type].partition("(")[0] for one in table.columns}
        found = engine.columns(table.name)
        assert {name: kind.partition("(")[0] for name, kind in found.items()} == types, table.name
        assert required(engine, table.name) == {one.name: one.is_required for one in table.columns}


def test_a_column_may_have_any_name(engine: Engine) -> None:
    """Words that the engine keeps to itself, too. Who asks writes other names without quotes."""
    words = [Column(word, "text", "Some.", is_required=False) for word in ("order", "group", "plan")]
    engine.create([BOXES])
    engine.create([replace(BOXES, columns=(*BOXES.columns, *words))])
    wanted = ", ".join(quoted(engine.dialect, column.name) for column in words)
    assert list(engine.rows(f"SELECT {wanted}, plan AS again FROM nexus_boxes")) == []


def test_what_runs_together_is_seen_together(connect: Connect, tmp_path: Path) -> None:
    """Of statements of which one fails nothing is there; of others everything, in one moment."""
    engine, reader = connect(), connect()
    engine.create([BOXES, LIDS])
    engine.load("first", {BOXES: file_of(tmp_path, [box("a")]), LIDS: file_of(tmp_path, [box("b")])})
    swap = ["DELETE FROM nexus_boxes WHERE TRUE", "INSERT INTO nexus_boxes SELECT * FROM nexus_lids"]
    with pytest.raises(NexusError):
        engine.together([*swap, "INSERT INTO nexus_boxes SELECT 'too few'"])
    assert names(engine) == names(reader) == ["a"]
    engine.together(swap)
    assert names(engine) == names(reader) == ["b"]


def test_values_come_back_as_they_were_given(engine: Engine, tmp_path: Path) -> None:
    """Text, numbers, bytes, truth, instants to the millisecond, and nothing at all."""
    engine.create([BOXES])
    rows = [box("ä\n'\"\\"), ("b", -(2**62), b"", None, False, SEEN_MS, '{"a":1}')]
    engine.load("first", {BOXES: file_of(tmp_path, rows)})
    assert list(engine.rows("SELECT * FROM nexus_boxes ORDER BY name")) == [
        ("b", -(2**62), b"", None, False, SEEN, '{"a":1}'),
        ("ä\n'\"\\", 1, b"\x00\xff", 1.5, True, SEEN, "{}"),
    ]


def test_a_load_that_comes_again_leaves_one_copy(connect: Connect, tmp_path: Path) -> None:
    """The same load from the same process, and from another one, adds nothing."""
    engine = connect()
    engine.create([BOXES])
    file = file_of(tmp_path, [box("a"), box("b")])
    engine.load("first", {BOXES: file})
    engine.load("first", {BOXES: file})
    connect().load("first", {BOXES: file})
    assert names(engine) == ["a", "b"]


def test_a_row_that_is_there_is_left_alone(engine: Engine, tmp_path: Path) -> None:
    """Of rows with one key the first load's counts; of several in one file, one."""
    engine.create([BOXES])
    engine.load("first", {BOXES: file_of(tmp_path, [box("a", more="1")])})
    engine.load("second", {BOXES: file_of(tmp_path, [box("a", more="2"), box("b"), box("b"), box("a", 2)])})
    assert names(engine) == ["a", "a", "b"]
    assert list(engine.rows("SELECT more FROM nexus_boxes WHERE name = 'a' AND place = 1")) == [("1",)]


def test_a_load_is_there_as_a_whole_or_not_at_all(engine: Engine, tmp_path: Path) -> None:
    """Where the rows of one file do not fit, no table has rows of the load."""
    engine.create([BOXES, LIDS])
    words = replace(BOXES, columns=(BOXES.columns[0], Column("place", "text", "A word."), *BOXES.columns[2:]))
    broken = file_of(tmp_path, [("a", "nowhere", *box("a")[2:])], words)
    good = file_of(tmp_path, [box("a")])
    with pytest.raises(NexusError):
        engine.load("first", {BOXES: good, LIDS: broken})
    assert names(engine) == []
    engine.load("second", {BOXES: good, LIDS: good})
    assert names(engine) == names(engine, LIDS) == ["a"]


def test_what_is_no_parquet_is_refused(engine: Engine, tmp_path: Path) -> None:
    """The error names the file."""
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 no Parquet PAR1")
    engine.create([BOXES])
    with pytest.raises(TerminalError, match=r"broken\.parquet is no Parquet file"):
        engine.load("first", {BOXES: broken})


def test_a_missing_column_is_added(engine: Engine, tmp_path: Path) -> None:
    """A table of an earlier version gets the column; the rows that were there have nothing in it."""
    former = replace(BOXES, columns=BOXES.columns[:6])
    engine.create([former])
    engine.load("first", {former: file_of(tmp_path, [box("a")[:6]], former)})
    engine.create([BOXES])
    engine.load("second", {BOXES: file_of(tmp_path, [box("b", more="2")])})
    assert list(engine.rows("SELECT name, more FROM nexus_boxes ORDER BY name")) == [("a", None), ("b", "2")]


def test_a_column_of_another_type_is_refused(engine: Engine) -> None:
    """Who has to mend it is told which column it is, and what to do."""
    engine.create([replace(BOXES, columns=(*BOXES.columns[:6], Column("more", "int", "What else.")))])
    with pytest.raises(StartRefused, match=r"nexus_boxes\.more is of type .* rename the table"):
        engine.create([BOXES])


def test_parameters_are_values(engine: Engine) -> None:
    """A parameter is never read as SQL, whatever it holds, and may be used twice."""
    nasty = "' OR 1 = 1; --"
    found = engine.rows(
        "SELECT $name AS name, $place + 1 AS place, $name AS again", {"name": nasty, "place": 6}
    )
    assert list(found) == [(nasty, 7, nasty)]


def test_a_small_table_is_replaced(engine: Engine) -> None:
    """It has the columns and rows that were given last, also where those are none."""
    engine.create([])
    engine.replace("nexus_work", {"a": "int", "b": "bytes", "c": "instant"}, [(1, b"\xff", SEEN_MS)])
    assert list(engine.rows("SELECT * FROM nexus_work")) == [(1, b"\xff", SEEN)]
    engine.replace("nexus_work", {"a": "text"}, [("x",), ("y",)])
    assert sorted(engine.rows("SELECT * FROM nexus_work")) == [("x",), ("y",)]
    engine.replace("nexus_work", {"a": "text"}, [])
    assert list(engine.rows("SELECT * FROM nexus_work")) == []


def test_statements_run_while_rows_are_read(engine: Engine, tmp_path: Path) -> None:
    """What a query gives can be read on after another statement."""
    engine.create([BOXES])
    engine.load("first", {BOXES: file_of(tmp_path, [box("a", place) for place in range(30_000)])})
    rows = engine.rows("SELECT place FROM nexus_boxes")
    next(rows)
    engine.execute("DELETE FROM nexus_boxes WHERE place >= 0")
    assert names(engine) == []
    assert len(list(rows)) == 29_999


@pytest.mark.parametrize(
    "sql",
    [
        "SELEC 1",
        "SELECT nobody FROM nexus_boxes",
        "SELECT 1 FROM nexus_nowhere",
        "SELECT CAST(more AS DATE) FROM nexus_boxes",
    ],
)
def test_a_statement_that_cannot_run_is_for_a_person(engine: Engine, tmp_path: Path, sql: str) -> None:
    """It is a TerminalError that shows the statement, and no value of a row."""
    engine.create([BOXES])
    engine.load("first", {BOXES: file_of(tmp_path, [box("a", more="canary@acme.example")])})
    with pytest.raises(TerminalError, match=f"cannot run {sql[:11]}") as error:
        list(engine.rows(sql))
    assert "canary" not in str(error.value)
    assert error.value.__cause__ is None


def test_the_id_of_a_load_is_a_name(engine: Engine) -> None:
    """It becomes part of names, so nothing else may be in it."""
    with pytest.raises(ValueError, match="the id of a load"):
        engine.load("x; DROP TABLE nexus_boxes", {})


def draws(file: Path) -> bool:
    """Whether DuckDB draws a bar of a statement that takes long, on standard output."""
    engine = DuckDB(file)
    (found,) = engine._connection.execute("SELECT CURRENT_SETTING('enable_progress_bar')").fetchall()
    return bool(found[0])


def test_no_bar_is_drawn_into_an_answer(tmp_path: Path) -> None:
    """DuckDB takes a process that another one has started for a person's session."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert not pool.submit(draws, tmp_path / "warehouse.duckdb").result()
