"""One person or group on a page: who it is, what is known of it now, and what happened, in order of time."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, NamedTuple

import click

from flows.client import Timeline
from flows.explaining import absence_as_json, absence_for_people
from flows.showing import change_as_json, entity_as_json, entity_for_people, sentence
from flows.words import harmless, heading, moment, short
from resolver.store import Belonging, RecentEvent, StoredProfile
from schemas.events import Measurement
from schemas.instants import format_instant
from schemas.transitions import Interval, NamedTrait

_MOST_ROWS: Final = 30  # of a list on a page
_MOST_HAPPENINGS: Final = 100
_MOST_NUMBERS: Final = 2  # of an event on a page


class _Happening(NamedTuple):
    """Something that happened: when (RFC 3339), in words, and as a program wants it."""

    at: str
    words: str
    fields: dict[str, Any]


# what happened


def _happenings(found: Timeline) -> list[_Happening]:
    """All that is remembered, in the order of time; at one instant what happened before what came of it."""
    profile = found.profile
    of_profile = [*_of_states(profile), *_of_memberships(found, profile.memberships)] if profile else []
    all_of_it = [*_of_events(found), *of_profile, *_of_identity(found)]
    return sorted(all_of_it, key=lambda one: one.at)  # instants in UTC sort as text


def _of_events(found: Timeline) -> Iterator[_Happening]:
    for one in found.recent.events:
        by = click.style(f"by {harmless(one.source)} {harmless(one.event_id)}", dim=True)
        numbers = [each for each in one.measurements if each.value][:_MOST_NUMBERS]
        words = [click.style(harmless(short(one.event_name)), bold=True), *map(_number, numbers)]
        roles = [f"as {harmless(short(', '.join(one.roles)))}"] if one.roles else []
        yield _Happening(one.occurred_at, " ".join([*words, *roles, by]), _event_as_json(one))


def _number(one: Measurement) -> str:
    unit = "" if one.unit is None else f" {harmless(short(one.unit))}"
    return f"{harmless(short(one.name))} {_green(f'{one.value:g}{unit}')}"


def _event_as_json(one: RecentEvent) -> dict[str, Any]:
    return {
        "what": "event",
        "event_name": one.event_name,
        "event_type": one.event_type,
        "source": one.source,
        "event_id": one.event_id,
        "roles": list(one.roles),
        "measurements": [asdict(each) for each in one.measurements],
    }


def _of_states(profile: StoredProfile) -> Iterator[_Happening]:
    for name, timeline in profile.timelines.items():
        entries = {one.state_entered_at for one in timeline}
        for one in timeline:
            said = {"state_name": name, **one.model_dump(include={"state_value", "state_numeric_value"})}
            fields = {"what": "state_entered", **said}
            yield _Happening(one.state_entered_at, f"{harmless(name)}: {_green(_value(one))}", fields)
            if one.state_exited_at is not None and one.state_exited_at not in entries:
                words = f"{harmless(name)}: no longer {_value(one)}"
                yield _Happening(one.state_exited_at, words, {"what": "state_exited", **said})


def _of_memberships(found: Timeline, memberships: Iterable[Belonging]) -> Iterator[_Happening]:
    for one in memberships:
        said = {"person_id": one.person_id, "group_id": one.group_id, "role": one.role}
        fields = {"what": "membership_started", **said}
        yield _Happening(one.started_at, f"{_joins(found)} {_other(found, one)}", fields)
        if one.ended_at is not None:
            words = f"{_joins(found)} {_other(found, one)} no longer"
            yield _Happening(one.ended_at, words, {"what": "membership_ended", **said})


def _joins(found: Timeline) -> str:
    return "is in" if found.entity_type == "person" else "has"


def _of_identity(found: Timeline) -> Iterator[_Happening]:
    for one in found.history.changes:
        by = click.style(f"by {harmless(one.source)} {harmless(one.event_id)}", dim=True)
        yield _Happening(format_instant(one.ingested_at_ms), f"{sentence(one)} {by}", change_as_json(one))


# for people


def timeline_for_people(found: Timeline) -> Iterator[str]:
    """The page, as lines."""
    if found.profile is None:
        yield from _nobody(found)
        return
    yield from known_for_people(found, found.profile)
    yield from _course(found)
    if not (found.profile.is_complete and found.recent.is_whole):
        yield "  Not all of it was read: there is more (--limit)."


def known_for_people(found: Timeline, profile: StoredProfile) -> Iterator[str]:
    """What is known of somebody, as lines."""
    entity = profile.entity
    first, *others = entity_for_people(replace(entity, members=tuple(sorted(entity.members)[:_MOST_ROWS])))
    yield click.style(first, bold=True)
    yield from map(harmless, others)
    yield from _section("Traits", profile.traits, _trait)
    title = "Groups" if found.entity_type == "person" else "Persons"
    yield from _section(title, profile.memberships, lambda one: f"  {_other(found, one)}{_term(one)}")
    now = [(name, line[-1]) for name, line in profile.timelines.items() if _is_current(line[-1])]
    yield from _section("States", now, lambda one: _row(one[0], _value(one[1]), _since(one[1])))


def _nobody(found: Timeline) -> Iterator[str]:
    absence = found.history.absence
    if absence is not None:
        yield from absence_for_people(found.history.entity_id, absence)
    yield from _course(found)


def _section(title: str, rows: Sequence[Any], line: Callable[[Any], str]) -> Iterator[str]:
    if rows:
        yield from heading(title)
        yield from map(line, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f"  and {len(rows) - _MOST_ROWS:,} more (--json shows all)"


def _course(found: Timeline) -> Iterator[str]:
    """What happened, the latest of it at the end, where the eye is."""
    happenings = _happenings(found)
    if happenings:
        yield from heading("What happened")
    if len(happenings) > _MOST_HAPPENINGS:
        yield f"  {len(happenings) - _MOST_HAPPENINGS:,} things before (--json shows all)"
    else:
        yield from _only_the_last(found)
    for one in happenings[-_MOST_HAPPENINGS:]:
        yield f"  {click.style(moment(one.at), dim=True)}  {one.words}"


def _only_the_last(found: Timeline) -> Iterator[str]:
    if found.recent.is_by_log:
        most = f"of events the last {found.recent.kept:,} (--events shows more)"
        yield f"  ({'all events' if found.recent.is_complete else most}, by the event log)"
    elif found.recent.is_complete and found.recent.kept:
        yield "  (all events, as the store remembers them)"
    elif not found.recent.is_complete:
        yield f"  (of events the store remembers the last {found.recent.kept})"
    if not found.history.is_complete:
        yield "  (of changes of its identity the store remembers the last 20)"


def _row(name: str, value: str, beside: str) -> str:
    return f"  {harmless(name):<24} {_green(f'{short(value):<24}')} {click.style(beside, dim=True)}"


def _trait(trait: NamedTrait) -> str:
    value = trait.value if isinstance(trait.value, str) else json.dumps(trait.value, ensure_ascii=False)
    return _row(trait.name, harmless(value), f"{harmless(trait.source)}, {moment(trait.occurred_at)}")


def _other(found: Timeline, one: Belonging) -> str:
    """The other side of a membership by its oldest identifier and its id, with the role."""
    other = one.group_id if found.entity_type == "person" else one.person_id
    name = found.names.get(other)
    named = f"{name.type}={harmless(short(name.value))} ({other})" if name is not None else other
    return named + (f" as {harmless(short(one.role))}" if one.role is not None else "")


def _term(one: Belonging) -> str:
    until = "" if one.ended_at is None else f" until {moment(one.ended_at)}"
    return click.style(f"  since {moment(one.started_at)}{until}", dim=True)


def _is_current(interval: Interval) -> bool:
    return interval.state_exited_at is None


def _value(interval: Interval) -> str:
    number = None if interval.state_numeric_value is None else f"{interval.state_numeric_value:g}"
    return " ".join(harmless(each) for each in (interval.state_value, number) if each is not None)


def _since(interval: Interval) -> str:
    return f"since {moment(interval.state_entered_at)}"


def _green(text: str) -> str:
    return click.style(text, fg="green")


# for programs


def timeline_as_json(found: Timeline) -> dict[str, Any]:
    """The page as one object; of nobody the id that was asked for, why nobody has it, and its history."""
    course = [{"at": one.at, **one.fields} for one in _happenings(found)]
    if found.profile is None:
        absence = absence_as_json(found.history.absence)
        asked = {"entity_type": found.entity_type, "entity_id": None, "asked": found.history.entity_id}
        return {**asked, **absence, "timeline": course}
    return {
        **known_as_json(found.profile),
        "timeline": course,
        "events_by": "event log" if found.recent.is_by_log else "store",
        "is_complete": all(part.is_complete for part in (found.profile, found.history, found.recent)),
    }


def known_as_json(profile: StoredProfile) -> dict[str, Any]:
    """What is known of somebody, as one object."""
    return {
        **entity_as_json(profile.entity),
        "traits": [one.model_dump() for one in profile.traits],
        "memberships": [membership_as_json(one) for one in profile.memberships],
        "states": [
            {"state_name": name, **one.model_dump(exclude={"state_exited_at"})}
            for name, timeline in profile.timelines.items()
            for one in timeline
            if _is_current(one)
        ],
    }


def membership_as_json(one: Belonging) -> dict[str, Any]:
    """A membership as one object."""
    return {
        "person_id": one.person_id,
        "group_id": one.group_id,
        "role": one.role,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
    }
