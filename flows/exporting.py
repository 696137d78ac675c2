"""What is exported besides identifiers: states, memberships and traits row by row, and lists of entities.

All of it streams: memory does not grow with the number of entities, what does not fit is sorted on disk.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final, TypeAlias

from flows.client import Nexus
from flows.sorting import sorted_rows
from resolver.store import StoredProfile
from schemas.errors import SettingsError
from schemas.identifiers import EntityType
from schemas.rules import Rules

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "states": (
        "entity_id", "state_name", "state_value", "state_numeric_value",
        "state_entered_at", "state_exited_at", "is_current",
    ),
    "memberships": ("person_id", "group_id", "role", "started_at", "ended_at"),
    "traits": ("entity_id", "name", "value", "source", "event_id", "occurred_at"),
}  # fmt: skip
_PIECE: Final = 50_000  # entities that are held in memory while they are sorted
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet may take for one

Show: TypeAlias = Callable[[int], None]


# rows


def rows_of(nexus: Nexus, subject: str, show: Show) -> Iterator[dict[str, Any]]:
    """Every row of a subject of `COLUMNS`, sorted by entity; then by state and time, by group and role, or by
    name.
    """
    make = _ROWS[subject]
    of_entities = (
        (one.entity.entity_id, json.dumps(rows))
        for one in _shown(nexus.profiles(), show)
        if (rows := list(make(one)))
    )
    for _, kept in sorted_rows(of_entities, key_length=1, piece=_PIECE):
        yield from json.loads(kept)


def _states(profile: StoredProfile) -> Iterator[dict[str, Any]]:
    for name, timeline in profile.timelines.items():
        for one in timeline:
            named = {"entity_id": profile.entity.entity_id, "state_name": name}
            yield {**named, **one.model_dump(), "is_current": one.state_exited_at is None}


def _memberships(profile: StoredProfile) -> Iterator[dict[str, Any]]:
    for one in profile.memberships:
        yield {name: getattr(one, name) for name in COLUMNS["memberships"]}


def _traits(profile: StoredProfile) -> Iterator[dict[str, Any]]:
    for one in profile.traits:
        yield {"entity_id": profile.entity.entity_id, **one.model_dump()}


_ROWS: Final = {"states": _states, "memberships": _memberships, "traits": _traits}


def _shown(profiles: Iterable[StoredProfile], show: Show) -> Iterator[StoredProfile]:
    for count, one in enumerate(profiles, 1):
        show(count)
        yield one


# lists


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a list is of: those who are now in each of these states. `with_traits`: their traits are in it."""

    entity_type: EntityType
    states: tuple[tuple[str, str], ...]
    with_traits: bool

    def refuse_undeclared(self, rules: Rules) -> None:
        """Raise SettingsError for a state that the rules know, and that can never have this value here."""
        for name, value in self.states:
            declared = next((each for each in rules.states if each.state_name == name), None)
            if declared is None:
                continue
            if declared.entity_type != self.entity_type:
                raise SettingsError(f"--state {name}: the rules have it for a {declared.entity_type}")
            if declared.values and not declared.numeric and value not in declared.values:
                raise SettingsError(
                    f"--state {name}: the rules have {', '.join(declared.values)}, not {value}"
                )

    def has(self, profile: StoredProfile) -> bool:
        """Whether somebody belongs into the list."""
        return all(_is_in(profile, name, value) for name, value in self.states)


def _is_in(profile: StoredProfile, name: str, value: str) -> bool:
    timeline = profile.profile.timelines.get(name)
    if not timeline or timeline[-1].exited_ms is not None:
        return False
    text, number = timeline[-1].value
    return value == text or (number is not None and value in (f"{number:g}", str(number)))


@dataclass(slots=True)
class List:
    """A row for each entity that is wanted: its id, its identifiers by type, its traits by name.

    Identifiers and traits are read one after the other, and may be of different batches. `columns` are known
    when the first row has come.
    """

    nexus: Nexus
    wanted: Wanted
    _types: set[str] = field(default_factory=set)
    _names: set[str] = field(default_factory=set)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table of these rows."""
        identifiers = (f"identifiers.{name}" for name in sorted(self._types))
        return ("entity_id", *identifiers, *(f"traits.{name}" for name in sorted(self._names)))

    def rows(self, show: Show) -> Iterator[dict[str, Any]]:
        """The rows, sorted by id. `show` is told how many identifiers were read."""
        read = sorted_rows(self._read(show), key_length=3, piece=_PIECE)
        for entity_id, found in groupby(read, key=lambda row: row[0]):
            row = self._row(entity_id, list(found))
            if row is not None:
                yield row

    def _read(self, show: Show) -> Iterator[tuple[str, ...]]:
        """Of each that is wanted its traits, which sort first; then all identifiers."""
        for one in self.nexus.profiles(self.wanted.entity_type):
            if self.wanted.has(one):
                traits = {each.name: each.value for each in one.traits if self.wanted.with_traits}
                self._names |= traits.keys()
                yield one.entity.entity_id, "", "", json.dumps(traits)
        for one_of, entity_id in self.nexus.identifiers(self.wanted.entity_type, show):
            self._types.add(one_of.identifier_type)
            yield entity_id, one_of.identifier_type, one_of.identifier_value

    def _row(self, entity_id: str, found: Sequence[tuple[str, ...]]) -> dict[str, Any] | None:
        is_told = not found[0][1]
        identifiers: dict[str, list[str]] = {}
        for row in found[1:] if is_told else found:
            identifiers.setdefault(row[1], []).append(row[2])
        if not identifiers or (self.wanted.states and not is_told):
            return None
        traits = {"traits": json.loads(found[0][3]) if is_told else {}} if self.wanted.with_traits else {}
        return {"entity_id": entity_id, "identifiers": identifiers, **traits}


# tables


def table(columns: Callable[[], Sequence[str]], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Rows as lines of CSV below a header; `columns` is asked when the first row has come.

    A column `traits.name` is the entry `name` of the field `traits`. Several values are separated by ` | `.
    """
    names: Sequence[str] | None = None
    for row in rows:
        if names is None:
            names = columns()
            yield _line([_safe(name) for name in names])
        yield _line([_cell(row, name) for name in names])
    if names is None:
        yield _line([_safe(name) for name in columns()])


def _cell(row: Mapping[str, Any], column: str) -> str:
    outer, _, inner = column.partition(".")
    value = row[column] if column in row else row[outer].get(inner)
    if isinstance(value, list) and outer == "identifiers":
        value = " | ".join(value)
    if value is None:
        return ""
    if isinstance(value, str):
        return _safe(value)
    return json.dumps(value, ensure_ascii=False)


def _safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula: it would run what somebody typed into a form."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()
