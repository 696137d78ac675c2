"""The states that the rules declare: what an entity may be in, and what brings it there.

A state is of persons or of groups, and takes its values from one of four places:

- facts: what events say of it, and the `triggers`, by which an event sets it that does not know of states;
- `derived`: formulas over other states of the same entity;
- `after`: that for some time nothing happened;
- `within`: that something else did not happen in time.

Derived and timed states take no facts. `schemas.state_sections` reads them, docs/states.md tells people.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from schemas.events import StateFact
from schemas.formula import Formula
from schemas.identifiers import EntityType

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event of this name sets a state: to `value`, or to the value of a measurement that it carries.

    Only events of `source`, and only for participants in `role`, where these are said.
    """

    event_name: str
    value: str | None
    measurement: str | None
    source: str | None = None
    role: str | None = None

    def as_data(self) -> dict[str, Any]:
        """The trigger as it stands in a file."""
        named = ("event", self.event_name), ("source", self.source), ("role", self.role)
        set_to = ("value", self.value), ("measurement", self.measurement)
        return {name: value for name, value in (*named, *set_to) if value is not None}


@dataclass(frozen=True, slots=True)
class Activity:
    """Which events count, and for participants in which roles; empty: all. Both are sorted."""

    event_names: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The activity as it stands in a file."""
        named = {"events": list(self.event_names), "roles": list(self.roles)}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class After:
    """`value` once there was no activity for `duration_ms`; `before` while there is, None: no state then."""

    duration_ms: int
    value: str
    before: str | None
    activity: Activity

    def as_data(self) -> dict[str, Any]:
        """The section as it stands in a file."""
        before = {} if self.before is None else {"before": self.before}
        duration = duration_text(self.duration_ms)
        return {"duration": duration, "value": self.value, **before, **self.activity.as_data()}


@dataclass(frozen=True, slots=True)
class Within:
    """`value` when `duration_ms` have passed since the one activity without the other."""

    duration_ms: int
    value: str
    since: Activity
    until: Activity

    def as_data(self) -> dict[str, Any]:
        """The section as it stands in a file."""
        between = {"since": self.since.as_data(), "until": self.until.as_data()}
        return {"duration": duration_text(self.duration_ms), "value": self.value, **between}


@dataclass(frozen=True, slots=True)
class StateRules:
    """What the rules say of one state. `values` and `triggers` are sorted, `derived` is in its order.

    At most one of `triggers`, `derived`, `after` and `within` is said. Of `derived` the first formula that is
    true gives the value; where none is, the entity is not in the state.
    """

    state_name: str
    entity_type: EntityType
    values: tuple[str, ...]
    numeric: bool = False
    triggers: tuple[Trigger, ...] = ()
    derived: tuple[tuple[str, Formula], ...] = ()
    after: After | None = None
    within: Within | None = None

    @property
    def uses(self) -> tuple[str, ...]:
        """The states that its formulas ask for, each once."""
        return tuple(dict.fromkeys(name for _, formula in self.derived for name in formula.names))

    def refuses(self, fact: StateFact, entity_type: EntityType) -> str | None:
        """Why this fact about an entity of that type does not count, as a reason code, or None if it does."""
        if self.derived:
            return "derived-state"
        if self.after or self.within:
            return "timed-state"
        if entity_type != self.entity_type:
            return "wrong-entity-type"
        if self.numeric:
            return "not-a-number" if fact.state_numeric_value is None else None
        return None if fact.state_value in self.values else "undeclared-value"

    def as_data(self) -> dict[str, Any]:
        """The state's section as a file could have it, without what goes without saying."""
        data: dict[str, Any] = {
            "of": self.entity_type,
            "values": list(self.values),
            "numeric": self.numeric,
            "events": [each.as_data() for each in self.triggers],
            "when": [{"value": value, "if": str(formula)} for value, formula in self.derived],
            "after": self.after and self.after.as_data(),
            "within": self.within and self.within.as_data(),
        }
        return {name: value for name, value in data.items() if value}


def duration_text(duration_ms: int) -> str:
    """A duration of whole seconds as the rules write it, in the largest unit that it fills."""
    unit, size = next(each for each in _UNITS if duration_ms % each[1] == 0)
    return f"{duration_ms // size}{unit}"


def duration_ms(text: str) -> int | None:
    """The milliseconds of a duration such as `30d` or `90s`, None for any other text."""
    number, unit = text[:-1], dict(_UNITS).get(text[-1:])
    return int(number) * unit if unit and number.isascii() and number.isdigit() else None


def in_order(states: Iterable[StateRules]) -> tuple[StateRules, ...]:
    """The states, each behind those that its formulas ask for. There must be no circle."""
    named = {each.state_name: each for each in states}
    return tuple(named[name] for name in _sorter(named).static_order())


def circle(states: Iterable[StateRules]) -> tuple[str, ...]:
    """The names along a circle of formulas that ask for one another, first and last the same; () for none."""
    try:
        _sorter({each.state_name: each for each in states}).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()


def _sorter(named: Mapping[str, StateRules]) -> TopologicalSorter[str]:
    return TopologicalSorter({name: named[name].uses for name in sorted(named)})
