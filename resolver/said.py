"""What events say of those they mention, besides who they are, packed as the store's script reads it.

The layouts are told in `lua/profiles.lua` and `lua/facts.lua`. Everything that does not depend on the store
is decided here: which states the rules take, what an event sets by a trigger, which timed states look at it.
"""

import json
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from resolver.facts import Membership, is_active
from resolver.packing import INSTANT_BYTES, Cursor, pack_instant, pack_type, unpack_instant
from resolver.profiles import (
    Doings,
    Origin,
    Profile,
    Run,
    StateFact,
    TraitFact,
    Value,
    canonical,
    profile,
    value_bytes,
)
from resolver.store import Shape
from schemas.events import Event, Participant
from schemas.events import Membership as Member
from schemas.events import StateFact as Sent
from schemas.formula import lua_text
from schemas.identifiers import ENTITY_TYPES, EntityType, entity_id
from schemas.rules import Rules
from schemas.states import Activity, StateRules

_LENGTH = struct.Struct(">H")
_LONG = struct.Struct(">I")
_REMEMBERED = 10_000
_OFFSET_AND_LENGTH = 8  # bytes before a list of facts, for those who pass over it or look at its end only


class Mentioned(NamedTuple):
    """A participant of an event with the link that it is evidence of."""

    participant: Participant
    shape: Shape


class _Meant(NamedTuple):
    """What the rules make of an event for participants of a type and role: (state, value) of those with a
    fixed value, (state, measurement) of the others, and packed names of runs. `alone` is what the message
    says where the event itself says nothing.
    """

    states: tuple[tuple[str, bytes], ...]
    measured: tuple[tuple[str, str], ...]
    runs: tuple[bytes, ...]
    alone: bytes


class _Said(NamedTuple):
    """What an event says of participants by their refs, and the value that counts of each measurement."""

    states: Mapping[str | None, Sequence[Sent]]
    memberships: Mapping[str | None, Sequence[Member]]
    measured: Mapping[str, bytes]

    @classmethod
    def of(cls, event: Event) -> "_Said":
        """Sorted once, however many participants there are."""
        if not (event.states or event.memberships or event.measurements):
            return _NOTHING
        states: dict[str | None, list[Sent]] = defaultdict(list)
        memberships: dict[str | None, list[Member]] = defaultdict(list)
        measured: dict[str, bytes] = {}
        for state in event.states:
            states[state.of].append(state)
        for member in event.memberships:
            memberships[member.person].append(member)
        for each in event.measurements:
            value = _value_of(Value(None, each.value))
            measured[each.name] = max(value, measured.get(each.name, value))
        return cls(states, memberships, measured)

    def of_nobody(self) -> "_Said":
        """The same for participants whom nothing else in the event names."""
        return _Said({}, {}, self.measured) if self.measured else _NOTHING


_NOTHING = _Said({}, {}, {})


class Packer:
    """Packs what events say, under one namespace's rules."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._meant = lru_cache(maxsize=_REMEMBERED)(self._make_meant)

    def messages(self, event: Event, mentioned: Sequence[Mentioned]) -> Iterator[bytes]:
        """One message for each of the links that the event says something of."""
        by_ref = {one.participant.ref: one for one in mentioned}
        said = _Said.of(event)
        for one in mentioned:
            is_named = by_ref[one.participant.ref] is one  # those without a ref are not
            body = self._body(event, one, said if is_named else said.of_nobody(), by_ref)
            if body:
                yield _head(event, one.shape) + body

    def _body(
        self, event: Event, one: Mentioned, said: "_Said", by_ref: Mapping[str | None, Mentioned]
    ) -> bytes:
        """What a message says behind its head; empty where that is nothing."""
        participant = one.participant
        meant = self._meant(event.event_name, event.source, participant.entity_type, participant.role)
        if said is _NOTHING and not participant.traits:
            return meant.alone
        traits = [_sized(name) + _long(canonical(value)) for name, value in participant.traits.items()]
        states = list(meant.states)
        states += (
            (name, said.measured[measurement])
            for name, measurement in meant.measured
            if measurement in said.measured
        )
        states += (
            (state.state_name, _value_of(Value(state.state_value, state.state_numeric_value)))
            for state in said.states.get(participant.ref, ())
            if self._rules.accepts(state, participant.entity_type) is None
        )
        memberships = [
            _sized(_membership(group.shape, each.role)) + (b"\1" if each.ended else b"\0")
            for each in said.memberships.get(participant.ref, ())
            if (group := by_ref.get(each.group)) is not None
        ]
        return _packed_body(traits, _last_of_each(states), meant.runs, memberships)

    def _make_meant(self, event_name: str, source: str, entity_type: EntityType, role: str | None) -> _Meant:
        states, measured = [], []
        for state, trigger in self._rules.triggers(event_name):
            is_meant = (
                state.entity_type == entity_type
                and trigger.source in (None, source)
                and trigger.role in (None, role)
            )
            if is_meant and trigger.measurement is not None:
                measured.append((state.state_name, trigger.measurement))
            elif is_meant:
                states.append((state.state_name, _value_of(Value(trigger.value))))
        runs = [
            _sized(run)
            for state in self._rules.states_of(entity_type)
            for run, activity in _activities(state)
            if is_active(activity, event_name, role)
        ]
        alone = _packed_body((), _last_of_each(states), runs, ())
        return _Meant(tuple(states), tuple(measured), tuple(runs), alone)


def timed_runs(rules: Rules) -> Iterator[tuple[str, int]]:
    """The names of runs, each with the gap (ms) after which one ends."""
    for state in rules.states:
        for run, _ in _activities(state):
            if (timing := state.after or state.within) is not None:
                yield run, timing.duration_ms


def _activities(state: StateRules) -> Iterator[tuple[str, Activity]]:
    if state.after is not None:
        yield f"s{state.state_name}", state.after.activity
    if state.within is not None:
        yield f"s{state.state_name}", state.within.since
        yield f"u{state.state_name}", state.within.until


def pack_inherited(shape: Shape, handle: bytes) -> bytes:
    """The message that all that is said of a link is said of this one as well."""
    return shape.handle + b"=" + bytes([len(shape.keys)]) + b"".join(shape.keys) + handle


def _head(event: Event, shape: Shape) -> bytes:
    position = event.position
    return shape.named + pack_instant(event.occurred_at_ms) + _LENGTH.pack(len(position)) + position


def _packed_body(*sections: Sequence[bytes]) -> bytes:
    """Traits, states, runs and memberships; empty where there are none."""
    return b"".join(map(_section, sections)) if any(sections) else b""


def _section(entries: Sequence[bytes]) -> bytes:
    return _LONG.pack(len(entries)) + b"".join(entries)


def _sized(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return _LENGTH.pack(len(data)) + data


def _long(data: bytes) -> bytes:
    return _LONG.pack(len(data)) + data


def _value_of(value: Value) -> bytes:
    number = None if value.number is None else value.number + 0.0  # there is one zero
    return value_bytes(Value(value.text, number))


def _last_of_each(states: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """Of what one event says of a state only the last counts, whatever else is said: it goes by the value."""
    last: dict[str, bytes] = {}
    for name, value in states:
        last[name] = max(value, last.get(name, value))
    return [_sized(name) + _sized(value) for name, value in last.items()]


def _membership(group: Shape, role: str | None) -> bytes:
    return (
        bytes([len(group.keys)]) + b"".join(group.keys) + (b"\0" if role is None else b"\1" + role.encode())
    )


# what the store keeps


class MembershipFacts(NamedTuple):
    """What is said of a membership: its first fact, its last one, and whether that ends it."""

    first: Origin
    last: Origin
    has_ended: bool


class Older(NamedTuple):
    """What is older than the facts of a state in the record: its chunks, oldest first, the last fact in them,
    and what was so as of then, since when (ms).
    """

    chunks: tuple[int, ...]
    last: Origin
    value: Value
    entered_ms: int


class FactsRecord(NamedTuple):
    """The facts of a link, or of an entity (then `keys` is empty).

    `runs` are by `s` or `u` and the state's name. `memberships` are by the keys of the group's link
    and the role; `known`, what consumers were told of them, by the group's id and the
    role. `timer_ms`: when a timed state of the entity may change, or earlier; None: no timer is set. `older`,
    by state, is where facts are that are not in the record; then `current` says since when (ms) the derived
    states are what they are.
    """

    keys: tuple[bytes, ...]
    traits: tuple[TraitFact, ...]
    states: tuple[StateFact, ...]
    runs: Mapping[str, tuple[Run, ...]]
    memberships: Mapping[tuple[tuple[bytes, ...], str | None], MembershipFacts]
    timer_ms: int | None
    known: Mapping[tuple[str, str | None], Membership]
    older: Mapping[str, Older]
    current: Mapping[str, int]

    def doings(self, state_name: str) -> Doings:
        """What a timed state looks at."""
        return Doings(self.runs.get(f"s{state_name}", ()), self.runs.get(f"u{state_name}", ()))

    def profile(self, rules: Rules, entity_type: EntityType, now_ms: int) -> Profile:
        """What the facts of an entity come to."""
        doings = {state.state_name: self.doings(state.state_name) for state in rules.states_of(entity_type)}
        return profile(rules, entity_type, self.traits, self.states, doings, now_ms)


NO_FACTS = FactsRecord((), (), (), {}, {}, None, {}, {}, {})


def unpack_facts(record: bytes) -> FactsRecord:
    """A record of the said hash, or of the profiles hash."""
    cursor = Cursor(record)
    keys = _keys(cursor)
    traits = tuple(
        TraitFact(cursor.sized().decode(), _origin(cursor), cursor.take(cursor.number(4)))
        for _ in range(_section_count(cursor))
    )
    states: list[StateFact] = []
    older = {}
    for _ in range(cursor.number(4)):
        name = cursor.sized().decode()
        if chunks := tuple(cursor.number(4) for _ in range(cursor.number(4))):
            older[name] = Older(chunks, _origin(cursor), _state_value(cursor), _instant(cursor))
        count = cursor.number(4)
        cursor.take(_OFFSET_AND_LENGTH)
        states += _listed(name, cursor, count)
    runs = {}
    for _ in range(_section_count(cursor)):
        name, count = cursor.sized().decode(), cursor.number(4)
        runs[name] = tuple(Run(_instant(cursor), _instant(cursor)) for _ in range(count))
    memberships = {}
    for _ in range(_section_count(cursor)):
        named = Cursor(cursor.sized())
        group = _keys(named), unpack_role(named.data[named.at :])
        memberships[group] = MembershipFacts(_origin(cursor), _origin(cursor), bool(cursor.number(1)))
    timer = cursor.take(INSTANT_BYTES) if cursor.more() else b""
    known = dict(_known(cursor) for _ in range(_section_count(cursor))) if cursor.more() else {}
    current = {}
    for _ in range(_section_count(cursor) if cursor.more() else 0):
        name = cursor.sized().decode()
        current[name] = _instant(cursor)
    timer_ms = unpack_instant(timer) if any(timer) else None
    return FactsRecord(keys, traits, tuple(states), runs, memberships, timer_ms, known, older, current)


def _section_count(cursor: Cursor) -> int:
    """How many entries a section has; its length, before that, is for those who pass over it."""
    cursor.take(4)
    return cursor.number(4)


def followed(
    known: Mapping[tuple[str, str | None], Membership], steps: bytes
) -> Mapping[tuple[str, str | None], Membership]:
    """What consumers know of memberships after what was told of groups: `steps` has the key of each id, and
    of what it is now, or NULs.
    """
    for at in range(0, len(steps), 32):
        gone, key = entity_id("group", steps[at : at + 16]), steps[at + 16 : at + 32]
        others = {name: one for name, one in known.items() if name[0] != gone}
        if any(key):
            others |= {
                (entity_id("group", key), role): one for (group, role), one in known.items() if group == gone
            }
        known = others
    return known


def unpack_line(name: str, chunk: bytes) -> list[StateFact]:
    """A record of the timelines hash, of a state."""
    cursor, found = Cursor(chunk), []
    while cursor.more():
        found += _listed(name, cursor, 1)
    return found


def _listed(name: str, cursor: Cursor, count: int) -> list[StateFact]:
    return [StateFact(name, _origin(cursor), _state_value(cursor)) for _ in range(count)]


def _state_value(cursor: Cursor) -> Value:
    return Value(*json.loads(cursor.sized()))


def _keys(cursor: Cursor) -> tuple[bytes, ...]:
    return tuple(cursor.take(16) for _ in range(cursor.number(1)))


def unpack_role(packed: bytes) -> str | None:
    """The role that ends the name of a membership."""
    return packed[1:].decode() if packed[0] else None


def _instant(cursor: Cursor) -> int:
    return unpack_instant(cursor.take(INSTANT_BYTES))


def _origin(cursor: Cursor) -> Origin:
    packed = cursor.sized()
    source, _, event_id = packed[INSTANT_BYTES:].decode().partition("\0")
    return Origin(unpack_instant(packed[:INSTANT_BYTES]), source, event_id)


def _known(cursor: Cursor) -> tuple[tuple[str, str | None], Membership]:
    name, since = cursor.sized(), _instant(cursor)
    until = _instant(cursor) if cursor.number(1) else None
    return (entity_id("group", name[:16]), unpack_role(name[16:])), Membership(since, until)


# the rules, as Lua


def rules_script(rules: Rules) -> str:
    """The Lua of the rules for profiles: timed and derived states, and whose word on traits counts first."""
    sources = "".join(f"[{lua_text(name)}]={place}," for place, name in enumerate(rules.trait_sources))
    types = (
        (pack_type(each.identifier_type), rules.priority(each.identifier_type)) for each in rules.identifiers
    )
    priorities = "".join(f"[{_bytes(kind)}]={place}," for kind, place in types)
    lines = [f"local rules_of = {{sources = {{{sources}}}, priorities = {{{priorities}}}, states = {{}}}}"]
    for entity_type in ENTITY_TYPES:
        listed = _list(_rule(state) for state in _computed(rules, entity_type))
        states = f"rules_of.states.{entity_type[0]}"
        lines.append(f"{states} = {{{listed}}}")
        lines.append(f"for _, rule in ipairs({states}) do {states}[rule.name] = rule end")
    return "\n".join(lines)


def _computed(rules: Rules, entity_type: EntityType) -> Iterator[StateRules]:
    states = rules.states_of(entity_type)
    return (state for state in states if state.derived or state.after or state.within)


def _rule(state: StateRules) -> str:
    fields = [f"name={lua_text(state.state_name)}"]
    if state.after is not None:
        fields += ["kind='after'", f"gap={state.after.duration_ms}", f"value={_value(state.after.value)}"]
        if state.after.before is not None:
            fields.append(f"before={_value(state.after.before)}")
    elif state.within is not None:
        fields += ["kind='within'", f"gap={state.within.duration_ms}", f"value={_value(state.within.value)}"]
    else:
        formulas = (
            f"{{{_value(value)}, function(s) return {formula.to_lua()} end}}"
            for value, formula in state.derived
        )
        fields += [f"derived={{{_list(formulas)}}}", f"uses={{{_list(map(lua_text, state.uses))}}}"]
    return f"{{{', '.join(fields)}}}"


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)


def _bytes(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'


def _value(text: str) -> str:
    return lua_text(value_bytes(Value(text)).decode())
