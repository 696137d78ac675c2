"""Reads `rules.states`: each state for itself, then what they say of one another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from schemas.errors import WrongFormula, WrongRule
from schemas.events import MAX_ID_BYTES
from schemas.formula import Comparison, Formula, is_word, parse
from schemas.identifiers import EntityType
from schemas.normalise import MAX_VALUE_BYTES
from schemas.reading import Path, read_flag, read_list, read_mapping, read_name, read_names, read_text
from schemas.states import Activity, After, StateRules, Trigger, Within, circle, duration_ms

_MAX_STATES: Final = 200
_MAX_VALUES: Final = 1_000  # of one state
_MAX_TRIGGERS: Final = 100  # of one state, and as many formulas
_MAX_DURATION_MS: Final = 400 * 86_400_000
_MAX_NAMED: Final = 20  # in a message that says what there is
_ENTITY_TYPES: Final[tuple[EntityType, ...]] = ("person", "group")
_KINDS: Final = ("events", "when", "after", "within")


def read_states(section: object, path: Path) -> tuple[StateRules, ...]:
    """The states of the section, by name. Raises WrongRule for what is wrong with one, or with several."""
    given = read_mapping(section, path)
    if len(given) > _MAX_STATES:
        raise WrongRule(path, f"must be a mapping of at most {_MAX_STATES}")
    states = tuple(_state(name, given[name], (*path, name)) for name in sorted(given))
    named = {each.state_name: each for each in states}
    for state in states:
        for place, (_, formula) in enumerate(state.derived):
            _check_formula(state, formula, named, (*path, state.state_name, "when", place, "if"))
    if names := circle(states):
        raise WrongRule((*path, names[0]), f"goes in a circle: {' asks for '.join(names)}")
    return states


# one state


def _state(name: str, section: object, path: Path) -> StateRules:
    if not is_word(name) or len(name) > MAX_ID_BYTES:
        raise WrongRule(path, "must have a name of letters, digits, _ and -, and none that formulas use")
    data = read_mapping(section, path, ("of", "values", "numeric", *_KINDS))
    kinds = [each for each in _KINDS if each in data]
    if len(kinds) > 1:
        raise WrongRule((*path, kinds[1]), f"cannot stand beside {kinds[0]}: a state is of one kind")
    entity_type = _entity_type(data.get("of"), (*path, "of"))
    if read_flag(data.get("numeric", False), (*path, "numeric")):
        return _numeric(name, entity_type, data, path)
    values = read_names(data.get("values"), (*path, "values"), _MAX_VALUES, MAX_VALUE_BYTES)
    if not values:
        raise WrongRule((*path, "values"), "must name at least one value, or the state be numeric: true")
    return _of_values(StateRules(name, entity_type, tuple(sorted(values))), data, path)


def _entity_type(value: object, path: Path) -> EntityType:
    for each in _ENTITY_TYPES:
        if value == each:
            return each
    raise WrongRule(path, f"must be {' or '.join(_ENTITY_TYPES)}")


def _numeric(name: str, entity_type: EntityType, data: dict[str, Any], path: Path) -> StateRules:
    for each in ("values", "when", "after", "within"):
        if each in data:
            raise WrongRule((*path, each), "cannot stand beside numeric: true, only events can")
    triggers = _triggers(data.get("events", []), (*path, "events"), None)
    return StateRules(name, entity_type, (), True, triggers)


def _of_values(state: StateRules, data: dict[str, Any], path: Path) -> StateRules:
    """The state with what brings it to its values."""
    if "when" in data:
        return replace(state, derived=_derived(data["when"], (*path, "when"), state))
    if "after" in data:
        return replace(state, after=_after(data["after"], (*path, "after"), state))
    if "within" in data:
        return replace(state, within=_within(data["within"], (*path, "within"), state))
    return replace(state, triggers=_triggers(data.get("events", []), (*path, "events"), state))


def _declared(data: Mapping[str, Any], name: str, path: Path, state: StateRules) -> str:
    value = data.get(name)
    if value not in state.values:
        raise WrongRule((*path, name), f"must be one of the values of the state: {_some(state.values)}")
    return str(value)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


# events


def _triggers(value: object, path: Path, state: StateRules | None) -> tuple[Trigger, ...]:
    """The triggers, sorted; of a numeric state, for which `state` is None, with their measurements."""
    triggers: dict[tuple[str | None, ...], Trigger] = {}
    for place, each in enumerate(read_list(value, path, _MAX_TRIGGERS)):
        trigger = _trigger(each, (*path, place), state)
        named = (trigger.event_name, trigger.source, trigger.role, trigger.measurement)
        if named in triggers:
            raise WrongRule((*path, place), "is given twice: one event sets one value")
        triggers[named] = trigger
    return tuple(triggers[named] for named in sorted(triggers, key=lambda one: [each or "" for each in one]))


def _trigger(section: object, path: Path, state: StateRules | None) -> Trigger:
    sets = "value" if state else "measurement"
    data = read_mapping(section, path, ("event", "source", "role", sets))
    measured = None if state else read_name(data.get("measurement"), (*path, "measurement"))
    return Trigger(
        event_name=read_name(data.get("event"), (*path, "event")),
        value=_declared(data, "value", path, state) if state else None,
        measurement=measured,
        source=read_name(data["source"], (*path, "source")) if "source" in data else None,
        role=read_name(data["role"], (*path, "role")) if "role" in data else None,
    )


# time


def _after(section: object, path: Path, state: StateRules) -> After:
    data = read_mapping(section, path, ("duration", "value", "before", "events", "roles"))
    value = _declared(data, "value", path, state)
    before = _declared(data, "before", path, state) if "before" in data else None
    if before == value:
        raise WrongRule((*path, "before"), "must be another value than the one after the duration")
    activity = _activity({name: data[name] for name in ("events", "roles") if name in data}, path)
    return After(_duration(data.get("duration"), (*path, "duration")), value, before, activity)


def _within(section: object, path: Path, state: StateRules) -> Within:
    data = read_mapping(section, path, ("duration", "value", "since", "until"))
    value = _declared(data, "value", path, state)
    since, until = (_activity(data.get(name), (*path, name)) for name in ("since", "until"))
    for name, activity in (("since", since), ("until", until)):
        if activity == Activity():
            raise WrongRule((*path, name), "must name events or roles: everything would be both at once")
    return Within(_duration(data.get("duration"), (*path, "duration")), value, since, until)


def _activity(section: object, path: Path) -> Activity:
    data = read_mapping(section, path, ("events", "roles"))
    events, roles = (
        read_names(data.get(name, []), (*path, name), _MAX_TRIGGERS) for name in ("events", "roles")
    )
    return Activity(tuple(sorted(events)), tuple(sorted(roles)))


def _duration(value: object, path: Path) -> int:
    duration = duration_ms(value) if isinstance(value, str) else None
    if duration is None or not 0 < duration <= _MAX_DURATION_MS:
        raise WrongRule(path, "must be a whole number and s, m, h or d, such as 24h, and at most 400d")
    return duration


# formulas


def _derived(value: object, path: Path, state: StateRules) -> tuple[tuple[str, Formula], ...]:
    given = read_list(value, path, _MAX_TRIGGERS)
    if not given:
        raise WrongRule(path, "must have at least one value with its formula")
    return tuple(_case(each, (*path, place), state) for place, each in enumerate(given))


def _case(section: object, path: Path, state: StateRules) -> tuple[str, Formula]:
    data = read_mapping(section, path, ("value", "if"))
    value = _declared(data, "value", path, state)
    text = read_text(data.get("if"), (*path, "if"))
    try:
        return value, parse(text)
    except WrongFormula as error:
        raise WrongRule((*path, "if"), f"is no formula: {error}") from None


def _check_formula(state: StateRules, formula: Formula, named: Mapping[str, StateRules], path: Path) -> None:
    """Each comparison must be one that can be true."""
    for each in formula.comparisons():
        asked = named.get(each.name)
        if asked is None:
            raise WrongRule(path, f"asks for {each.name}, which is no state: there are {_some([*named])}")
        if asked.entity_type != state.entity_type:
            raise WrongRule(path, f"asks for {each.name}, a state of a {asked.entity_type}, not of its own")
        _check_values(each, asked, path)


def _check_values(comparison: Comparison, asked: StateRules, path: Path) -> None:
    for value in comparison.values:
        if asked.numeric == isinstance(value, str):
            it_is = "is numeric" if asked.numeric else f"has the values {_some(asked.values)}"
            raise WrongRule(path, f"compares {asked.state_name} with what it can never be: it {it_is}")
        if isinstance(value, str) and value not in asked.values:
            raise WrongRule(
                path, f"compares {asked.state_name} with a value that it has not: {_some(asked.values)}"
            )
