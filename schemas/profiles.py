"""What a consumer of the transitions keeps of each entity besides its identifiers: its profile.

A profile is made of pieces: a trait by its name, a membership by group and role, an interval by its state and
the instant at which it was entered. Each change says whole pieces, set or gone, so whichever was said last is
right, and a snapshot sets those of which no later change spoke. Pieces of an id that ended go with it, those
of one that was relabelled move.

`Profiles` is told of changes in the order of their numbers: `schemas.mapping.EntityMapping` sees to that.

Who begins in the middle of the topic cannot always see that an id was left without identifiers: should one be
quarantined and be released again while the snapshot is under way, what the id had before stays until the next
snapshot. Who misses no change is exact after each.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from schemas.transitions import (
    Change,
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedMembership,
    NamedTrait,
    Snapshot,
    SnapshotMemberships,
    SnapshotStates,
    SnapshotTraits,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
)

Sequence: TypeAlias = tuple[int, int]
"""(generation, number)."""
Steps: TypeAlias = list[tuple[int, str | None]]
"""What became of an id, and at which numbers of the generation; None: it ended."""


@dataclass(frozen=True, slots=True)
class _Trait:
    name: str


@dataclass(frozen=True, slots=True)
class _Membership:
    group_id: str
    role: str | None


@dataclass(frozen=True, slots=True)
class _Interval:
    state_name: str
    entered_at: str


_Key: TypeAlias = _Trait | _Membership | _Interval
_Value: TypeAlias = NamedTrait | NamedMembership | Interval


@dataclass(frozen=True, slots=True)
class _Piece:
    """What was last said of it, and when; None: it is gone, which is remembered up to the next snapshot."""

    value: _Value | None
    said: Sequence


def followed(became: dict[str, Steps], entity_id: str, number: int) -> str | None:
    """What had this id right after `number` is called now. None: it ended.

    An id may come back, so it is the first step after the number that counts.
    """
    now: str | None = entity_id
    while now is not None and (steps := became.get(now)) is not None:
        first = _first_after(steps, number)
        if first == len(steps):
            break
        number, now = steps[first]
    return now


def forget_steps(became: dict[str, Steps], number: int) -> None:
    """Let go of the steps up to a number, after which nobody asks for them."""
    for entity_id, steps in list(became.items()):
        del steps[: _first_after(steps, number)]
        if not steps:
            del became[entity_id]


def _first_after(steps: Steps, number: int) -> int:
    return bisect_right(steps, number, key=lambda step: step[0])


class Profiles:
    """The traits, memberships and timelines that the changes so far describe."""

    def __init__(self) -> None:
        self._pieces: defaultdict[str, dict[_Key, _Piece]] = defaultdict(dict)
        self._persons: defaultdict[str, set[str]] = defaultdict(set)  # those with a piece about the group
        self._became: defaultdict[str, Steps] = defaultdict(list)

    # what is asked

    def traits(self) -> dict[str, dict[str, NamedTrait]]:
        """The traits that are set, by entity and name."""
        found: defaultdict[str, dict[str, NamedTrait]] = defaultdict(dict)
        for entity_id, value in self._values():
            if isinstance(value, NamedTrait):
                found[entity_id][value.name] = value
        return dict(found)

    def memberships(self) -> dict[tuple[str, str, str | None], tuple[str, str | None]]:
        """`started_at` and `ended_at` of each membership, by person, group and role."""
        return {
            (person, value.group_id, value.role): (value.started_at, value.ended_at)
            for person, value in self._values()
            if isinstance(value, NamedMembership)
        }

    def timelines(self) -> dict[str, dict[str, list[Interval]]]:
        """The intervals in the order of time, by entity and state."""
        found: defaultdict[str, defaultdict[str, list[Interval]]] = defaultdict(lambda: defaultdict(list))
        for entity_id, pieces in self._pieces.items():
            for key, piece in pieces.items():
                if isinstance(key, _Interval) and isinstance(piece.value, Interval):
                    found[entity_id][key.state_name].append(piece.value)
        return {
            entity_id: {name: sorted(each, key=_entered) for name, each in timelines.items()}
            for entity_id, timelines in found.items()
        }

    def _values(self) -> Iterator[tuple[str, _Value]]:
        for entity_id, pieces in self._pieces.items():
            for piece in pieces.values():
                if piece.value is not None:
                    yield entity_id, piece.value

    # what is said

    def apply(self, change: Change) -> None:
        """Take in what a change says of pieces; of ids it says nothing here."""
        for key, value in _said_by(change):
            self._put(change.entity_id, key, _Piece(value, change.sequence))

    def end(self, entity_id: str, number: int) -> None:
        """The profile of this id is gone, and the memberships of others in it."""
        self._became[entity_id].append((number, None))
        self._clear(entity_id)

    def move(self, former: str, now: str, number: int) -> None:
        """What was the profile of one id is that of the other, which had none."""
        self._clear(now)
        self._became[former].append((number, now))
        for key, piece in self._take(former).items():
            self._put(now, key, piece)
        for person in self._persons.pop(former, ()):
            pieces = self._pieces[person]
            for key in [key for key in pieces if isinstance(key, _Membership) and key.group_id == former]:
                self._put(person, *_in_group(key, pieces.pop(key), now))

    def _put(self, entity_id: str, key: _Key, piece: _Piece) -> None:
        self._pieces[entity_id][key] = piece
        if isinstance(key, _Membership):
            self._persons[key.group_id].add(entity_id)

    def _clear(self, entity_id: str) -> None:
        self._take(entity_id)
        for person in self._persons.pop(entity_id, ()):
            pieces = self._pieces.get(person, {})
            for key in [key for key in pieces if isinstance(key, _Membership) and key.group_id == entity_id]:
                del pieces[key]

    def _take(self, entity_id: str) -> dict[_Key, _Piece]:
        """All pieces of an id, which has none any more."""
        pieces = self._pieces.pop(entity_id, {})
        for key in pieces:
            if isinstance(key, _Membership):
                self._persons[key.group_id].discard(entity_id)
        return pieces

    # snapshots

    def begin_generation(self) -> None:
        """A snapshot that comes from now on is younger than all that was said."""
        self._became.clear()
        self._keep(lambda _, __, piece: piece.value is not None)

    def confirm(self, message: Snapshot) -> Iterator[tuple[str, object]]:
        """Set the pieces of a message that no later change spoke of, and name all that are there still."""
        if not isinstance(message, SnapshotTraits | SnapshotMemberships | SnapshotStates):
            return
        entity_id = followed(self._became, message.entity_id, message.number)
        if entity_id is None:
            return
        at: Sequence = (message.generation, message.number)
        for key, value in self._confirmed(message):
            known = self._pieces[entity_id].get(key)
            if known is None or known.said <= at:
                self._put(entity_id, key, _Piece(value, at))
            yield entity_id, key

    def _confirmed(
        self, message: SnapshotTraits | SnapshotMemberships | SnapshotStates
    ) -> Iterator[tuple[_Key, _Value]]:
        match message:
            case SnapshotTraits():
                yield from ((_Trait(each.name), each) for each in message.traits)
            case SnapshotStates():
                yield from _intervals(message.state_name, message.intervals)
            case SnapshotMemberships():
                for each in message.memberships:
                    group = followed(self._became, each.group_id, message.number)
                    if group is not None:
                        yield _Membership(group, each.role), each.model_copy(update={"group_id": group})

    def forget(self, named: set[tuple[str, object]], start: Sequence) -> None:
        """Let go of what a snapshot did not name, unless a change since its start did.

        Also of the memory of what was gone before.
        """
        self._keep(
            lambda entity_id, key, piece: (
                piece.said > start or (piece.value is not None and (entity_id, key) in named)
            )
        )
        forget_steps(self._became, start[1])

    def keep_of(self, entities: Container[str]) -> None:
        """Let go of the pieces of all others, and of memberships in them."""
        self._keep(
            lambda entity_id, key, _: (
                entity_id in entities and (not isinstance(key, _Membership) or key.group_id in entities)
            )
        )

    def _keep(self, is_kept: Callable[[str, _Key, _Piece], bool]) -> None:
        pieces = [(entity_id, *each) for entity_id, some in self._pieces.items() for each in some.items()]
        self._pieces.clear()
        self._persons.clear()
        for entity_id, key, piece in pieces:
            if is_kept(entity_id, key, piece):
                self._put(entity_id, key, piece)


def _said_by(change: Change) -> Iterator[tuple[_Key, _Value | None]]:
    """The pieces that a change sets, and those that it says are gone."""
    match change:
        case TraitChanged():
            yield _Trait(change.name), _trait(change)
        case MembershipStarted() | MembershipEnded():
            yield _Membership(change.group_id, change.role), _membership(change)
        case StateEntered() | StateExited():
            yield from _intervals(change.state_name, (_interval(change),))
        case StateCorrected():
            if change.replaced is not None:
                yield _Interval(change.state_name, change.replaced.state_entered_at), None
            yield from _intervals(change.state_name, change.intervals)


def _trait(change: TraitChanged) -> NamedTrait | None:
    if change.source is None or change.event_id is None or change.occurred_at is None or change.value is None:
        return None
    return NamedTrait(
        name=change.name,
        value=change.value,
        source=change.source,
        event_id=change.event_id,
        occurred_at=change.occurred_at,
    )


def _membership(change: MembershipStarted | MembershipEnded) -> NamedMembership | None:
    if change.started_at is None:
        return None
    ended_at = change.ended_at if isinstance(change, MembershipEnded) else None
    return NamedMembership(
        group_id=change.group_id, role=change.role, started_at=change.started_at, ended_at=ended_at
    )


def _interval(change: StateEntered | StateExited) -> Interval:
    return Interval(
        state_value=change.state_value,
        state_numeric_value=change.state_numeric_value,
        state_entered_at=change.state_entered_at,
        state_exited_at=change.state_exited_at if isinstance(change, StateExited) else None,
    )


def _intervals(state_name: str, intervals: Iterable[Interval]) -> Iterator[tuple[_Key, _Value]]:
    for each in intervals:
        yield _Interval(state_name, each.state_entered_at), each


def _entered(interval: Interval) -> str:
    return interval.state_entered_at  # instants in UTC sort as text


def _in_group(key: _Membership, piece: _Piece, group_id: str) -> tuple[_Key, _Piece]:
    """A membership as one in the group under its new id."""
    value = piece.value
    if isinstance(value, NamedMembership):
        piece = replace(piece, value=value.model_copy(update={"group_id": group_id}))
    return _Membership(group_id, key.role), piece
