"""The invariants of what is said of links, and of what that comes to for entities."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping
from typing import NamedTuple

from resolver.facts import Membership
from resolver.profiles import Run, StateFact, TraitFact, due, intervals, joined, value_bytes
from resolver.said import FactsRecord, MembershipFacts, timed_runs, unpack_facts, unpack_line
from schemas.errors import StoreCorrupt
from schemas.identifiers import EntityType, entity_id
from schemas.rules import Rules

Hold = Callable[[bool, str], None]


class Home(NamedTuple):
    """The entity in a slot: its type, and the key that its id is made from."""

    entity_type: EntityType
    senior: bytes


class Stored(NamedTuple):
    """What the store keeps, read whole: by link handle, slot, identifier key, and slot."""

    said: Mapping[bytes, FactsRecord]
    sums: Mapping[int, FactsRecord]
    staff: Mapping[bytes, Iterable[bytes]]
    timers: Mapping[int, int]
    now_ms: int
    lines: Container[int]


class Graph(NamedTuple):
    """What the profiles lean on: the keys of links by handle, the slot of each identifier that has one, the
    entities, which identifier comes first in a link (the lowest number), and those that were erased.
    """

    links: Mapping[bytes, tuple[bytes, ...]]
    slot_of: Mapping[bytes, int]
    homes: Mapping[int, Home]
    priority: Callable[[bytes], int]
    erased: Container[bytes]

    def home(self, keys: Iterable[bytes]) -> int | None:
        """The slot of the entity that facts of a link belong to; None while they wait."""
        inside = [key for key in keys if key in self.slot_of]
        anchor = min(inside, key=lambda key: (self.priority(key), key), default=None)
        return None if anchor is None else self.slot_of[anchor]


def check_profiles(stored: Stored, graph: Graph, rules: Rules, hold: Hold) -> None:
    """Tell `hold` of each invariant whether it holds, and what there is in its place."""
    _check_said(stored, graph, hold)
    _check_order(stored, hold)
    _check_sums(stored, graph, rules, hold)
    _check_older(stored, graph, rules, hold)
    for slot, record in stored.sums.items():
        _check_known(slot, record, graph, hold)
        _check_timer(slot, record, stored, graph, rules, hold)


def _check_said(stored: Stored, graph: Graph, hold: Hold) -> None:
    """Facts hang on links that are there, and groups know who says to be in them."""
    for handle, record in stored.said.items():
        where = f"facts of link {handle.hex()}"
        hold(handle in graph.links, f"{where}: there is no such link")
        hold(record.keys == graph.links[handle], f"{where}: hang on other identifiers")
        for keys, _ in record.memberships:
            known = all(handle in stored.staff.get(key, ()) for key in keys if key in graph.slot_of)
            hold(known, f"{where}: name a group that does not know of it")
            hold(not any(key in graph.erased for key in keys), f"{where}: name a group that was erased")


def _check_order(stored: Stored, hold: Hold) -> None:
    """The facts of each state are in order, each once."""
    for record in (*stored.said.values(), *stored.sums.values()):
        ordered = sorted(
            set(record.states), key=lambda one: (one.state_name, one.origin, value_bytes(one.value))
        )
        by_name = sorted(record.states, key=lambda one: one.state_name)
        hold(by_name == ordered, f"{len(ordered)} facts of states are not in order, or there twice")


def _check_sums(stored: Stored, graph: Graph, rules: Rules, hold: Hold) -> None:
    """The facts of an entity are those of the links whose anchor it holds, no more and no less."""
    expected: dict[int, list[FactsRecord]] = defaultdict(list)
    for record in stored.said.values():
        slot = graph.home(record.keys)
        if slot is not None:
            expected[slot].append(record)
    hold(
        stored.sums.keys() == expected.keys(),
        f"{len(stored.sums)} entities have facts, {len(expected)} should",
    )
    for slot, records in expected.items():
        found, where = stored.sums[slot], f"facts of the entity in slot {slot}"
        hold(
            _traits(found.traits) == _traits(fact for one in records for fact in one.traits),
            f"{where}: traits differ",
        )
        states = {fact for one in records for fact in one.states}
        hold(len(found.states) == len(states) and set(found.states) == states, f"{where}: states differ")
        hold(_runs(rules, [found]) == _runs(rules, records), f"{where}: activity differs")
        hold(found.memberships == _memberships(records), f"{where}: memberships differ")


def _check_older(stored: Stored, graph: Graph, rules: Rules, hold: Hold) -> None:
    """Each chunk belongs to one list, and what is told of it is so."""
    used: list[int] = []
    for record in (*stored.said.values(), *stored.sums.values()):
        for name, older in record.older.items():
            used += older.chunks
            facts = sorted(
                (fact for fact in record.states if fact.state_name == name),
                key=lambda one: (one.origin, value_bytes(one.value)),
            )
            last = intervals(
                (fact.origin.occurred_at_ms, fact.value) for fact in facts if fact.origin <= older.last
            )[-1]
            where = f"what is older of {name}"
            hold(
                (last.value, last.entered_ms) == (older.value, older.entered_ms),
                f"{where}: {older} is not so",
            )
    hold(len(used) == len(set(used)), "two lists have one chunk")
    hold(stored.lines == set(used), f"{len(set(used))} chunks of timelines are named, and others are there")
    for slot, record in stored.sums.items():
        if record.older:
            profile = record.profile(rules, graph.homes[slot].entity_type, stored.now_ms)
            current = {
                state.state_name: timeline[-1].entered_ms
                for state in rules.states_of(graph.homes[slot].entity_type)
                if state.derived
                and (timeline := profile.timelines.get(state.state_name))
                and timeline[-1].exited_ms is None
            }
            hold(record.current == current, f"the entity in slot {slot}: {record.current} is not {current}")


def _traits(facts: Iterable[TraitFact]) -> Mapping[tuple[str, str], TraitFact]:
    ordered = sorted(facts, key=lambda one: (one.origin, one.value))
    return {(fact.name, fact.origin.source): fact for fact in ordered}


def _runs(rules: Rules, records: Iterable[FactsRecord]) -> Mapping[str, tuple[Run, ...]]:
    gaps = dict(timed_runs(rules))
    found: dict[str, list[Run]] = defaultdict(list)
    for record in records:
        for name, runs in record.runs.items():
            found[name] += runs
    return {name: joined(runs, gaps.get(name, 0)) for name, runs in found.items()}


def _memberships(records: Iterable[FactsRecord]) -> Mapping[object, MembershipFacts]:
    found: dict[object, MembershipFacts] = {}
    for record in records:
        for name, one in record.memberships.items():
            known = found.get(name, one)
            last = max((known.last, known.has_ended), (one.last, one.has_ended))
            found[name] = MembershipFacts(min(known.first, one.first), *last)
    return found


def _check_known(slot: int, record: FactsRecord, graph: Graph, hold: Hold) -> None:
    """What was told of memberships is what the facts say of the groups as they are."""
    united: dict[tuple[str, str | None], MembershipFacts] = {}
    for (keys, role), one in record.memberships.items():
        group = graph.home(keys)
        if group is not None:
            name = entity_id("group", graph.homes[group].senior), role
            known = united.get(name, one)
            last = max((known.last, known.has_ended), (one.last, one.has_ended))
            united[name] = MembershipFacts(min(known.first, one.first), *last)
    expected = {
        name: Membership(one.first.occurred_at_ms, one.last.occurred_at_ms if one.has_ended else None)
        for name, one in united.items()
    }
    hold(record.known == expected, f"the entity in slot {slot}: memberships were told that are others")


def _check_timer(
    slot: int, record: FactsRecord, stored: Stored, graph: Graph, rules: Rules, hold: Hold
) -> None:
    """A timer is set for when a timed state changes, or earlier."""
    where = f"the entity in slot {slot}"
    instants = [
        instant
        for state in rules.states_of(graph.homes[slot].entity_type)
        if (state.after or state.within)
        and (instant := due(state, record.doings(state.state_name), stored.now_ms)) is not None
    ]
    set_for = stored.timers.get(slot)
    hold(
        record.timer_ms == set_for or record.timer_ms is None,
        f"{where}: {record.timer_ms} is not its timer {set_for}",
    )
    if instants:
        hold(
            set_for is not None and set_for <= min(instants), f"{where}: no timer is set for {min(instants)}"
        )


def read_facts(records: Mapping[bytes, bytes], lines: Mapping[bytes, bytes]) -> Mapping[bytes, FactsRecord]:
    """Facts records by the fields of their hash, with all that is older; `lines` are the chunks by number."""
    return {field: whole(unpack_facts(record), lines) for field, record in records.items()}


def whole(record: FactsRecord, lines: Mapping[bytes, bytes]) -> FactsRecord:
    """A record with all that is older in `states`. Raises StoreCorrupt for a chunk that is not there."""
    found: list[StateFact] = []
    for name, older in record.older.items():
        for chunk in older.chunks:
            line = lines.get(b"%d" % chunk)
            if line is None:
                raise StoreCorrupt(f"chunk {chunk} of a timeline is named and not there")
            found += unpack_line(name, line)
    return record._replace(states=(*found, *record.states)) if found else record
