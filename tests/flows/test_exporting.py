"""What is exported: who belongs into a list, and what a table makes of values."""

from __future__ import annotations

import pytest

from flows.exporting import Wanted, table
from resolver.profiles import Interval, Profile, Value
from resolver.store import Cursor, Entity, StoredProfile
from schemas.events import log_position


def of(*seats: Interval) -> StoredProfile:
    """Somebody with this timeline of one state."""
    entity = Entity("person", f"per_{1:032x}", 1, log_position(0, "app", "e"), ())
    return StoredProfile(
        entity, Profile({}, {"seats": seats}), (), is_complete=True, as_of=Cursor(1, 1), now_ms=0
    )


@pytest.mark.parametrize(("value", "is_in"), [("3", True), ("3.0", True), ("4", False), ("", False)])
def test_a_number_is_meant_however_it_is_written(value: str, is_in: bool) -> None:
    """As exports show it, or as somebody types it."""
    somebody = of(Interval(Value(None, 3.0), 1_000, None))
    assert Wanted("person", (("seats", value),), with_traits=False).has(somebody) == is_in


def test_a_list_has_nobody_who_was_in_the_state() -> None:
    """Only who is in it now: not who left it, or went on to another, nor who never had it."""
    wanted = Wanted("person", (("seats", "keen"),), with_traits=False)
    keen = Interval(Value("keen"), 1_000, 2_000)
    assert not wanted.has(of(keen))
    assert not wanted.has(of(keen, Interval(Value("idle"), 2_000, None)))
    assert not wanted.has(of())
    assert wanted.has(of(keen, Interval(Value("keen"), 3_000, None)))


def test_a_cell_is_text_that_people_can_read() -> None:
    """Several identifiers with a bar between them, foreign letters as they are, nothing for nothing."""
    row = {"identifiers": {"email": ["a@b.example", "c@d.example"]}, "city": {"name": "Köln"}, "none": None}
    (_, line) = table(lambda: ["identifiers.email", "identifiers.phone", "city", "none"], [row])
    assert line == 'a@b.example | c@d.example,,"{""name"": ""Köln""}",\n'


def test_the_name_of_a_column_is_no_formula_either() -> None:
    """Traits are called what somebody calls them; also where there is no row."""
    assert next(table(lambda: ["=1"], [{"=1": 1}])) == "'=1\n"
    assert list(table(lambda: ["=1"], [])) == ["'=1\n"]
