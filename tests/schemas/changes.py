"""A tiny resolver that publishes: the oracle for what a consumer of the transitions makes of them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from random import Random
from typing import Any

from schemas.identifiers import Keyring, entity_id
from schemas.mapping import Name
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    Interval,
    MembershipEnded,
    MembershipStarted,
    NamedIdentifier,
    NamedMembership,
    NamedTrait,
    QuarantineReason,
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
    SnapshotMemberships,
    SnapshotStarted,
    SnapshotStates,
    SnapshotTraits,
    StateCorrected,
    StateEntered,
    StateExited,
    TraitChanged,
    make_snapshot_id,
    make_transition_id,
)

KEYRING = Keyring("acme")
_CAUSE = Cause.at(0, "app", "e")
_SHARED = QuarantineReason(kind="limit", partner_type="user_id", limit=2, brought_by=_CAUSE)
_A_MESSAGE = 2  # identifiers of a split and ids of an erasure: so few, so that there are several


def user(number: int) -> NamedIdentifier:
    """The identifier of user `number`."""
    return NamedIdentifier(type="user_id", value=str(number))


def label(number: int) -> str:
    """The id of the entity whose senior identifier is that of user `number`."""
    return entity_id("person", number.to_bytes(16, "big"))


def instant(hour: int) -> str:
    """An hour of some day."""
    return f"2026-01-05T{hour:02d}:00:00.000Z"


class Told:
    """What all changes so far say of profiles, by the plainest means: all are looked through each time.

    The same persons stand in for groups: a membership is one of anybody in anybody.
    """

    def __init__(self) -> None:
        self._holder: dict[str, str] = {}
        self.traits: dict[tuple[str, str], object] = {}
        self.memberships: dict[tuple[str, str, str | None], tuple[str, str | None]] = {}
        self.intervals: dict[tuple[str, str, str], Interval] = {}

    def hear(self, change: Change) -> None:
        """Take the next change in."""
        match change:
            case EntityCreated():
                self._hold(change.entity_id, change.identifiers)
            case IdentifierAdded() | IdentifierReleased():
                self._holder[change.identifier.value] = change.entity_id
            case EntitiesMerged():
                self._rename_holder(change.absorbed_id, change.entity_id)
                self._end(change.absorbed_id)
            case EntityRelabelled():
                self._rename_holder(change.former_id, change.entity_id)
                self._rename(change.former_id, change.entity_id)
            case EntitySplit():
                self._hold(change.part_id, change.identifiers)
            case IdentifierQuarantined():
                self._holder.pop(change.identifier.value, None)
            case EntityErased():
                self._holder = {one: who for one, who in self._holder.items() if who != change.entity_id}
            case _:
                self._hear_of_profile(change)
        for entity in {change.entity_id} - set(self._holder.values()):
            self._end(entity)

    def _hear_of_profile(self, change: Change) -> None:
        who = change.entity_id
        match change:
            case TraitChanged():
                self.traits[who, change.name] = change.value
                if change.value is None:
                    del self.traits[who, change.name]
            case MembershipStarted():
                self.memberships[who, change.group_id, change.role] = (change.started_at, None)
            case MembershipEnded():
                self.memberships.pop((who, change.group_id, change.role), None)
                if change.started_at is not None:
                    times = change.started_at, change.ended_at
                    self.memberships[who, change.group_id, change.role] = times
            case StateCorrected():
                if change.replaced is not None:
                    self.intervals.pop((who, change.state_name, change.replaced.state_entered_at), None)
                for each in change.intervals:
                    self.intervals[who, change.state_name, each.state_entered_at] = each
            case StateEntered() | StateExited():
                left = change.state_exited_at if isinstance(change, StateExited) else None
                said = interval(change.state_value, change.state_entered_at, left)
                self.intervals[who, change.state_name, change.state_entered_at] = said

    def _hold(self, entity: str, identifiers: Iterable[NamedIdentifier]) -> None:
        if entity not in self._holder.values():
            self._end(entity)
        former = {self._holder.get(one.value) for one in identifiers}
        self._holder.update({one.value: entity for one in identifiers})
        for gone in former - set(self._holder.values()) - {None}:
            self._end(str(gone))

    def _rename_holder(self, former: str, now: str) -> None:
        self._holder = {one: now if who == former else who for one, who in self._holder.items()}

    def _rename(self, former: str, now: str) -> None:
        self._end(now)

        def renamed(key: tuple[Any, ...]) -> Any:
            return tuple(now if each == former else each for each in key)

        self.traits = {renamed(key): value for key, value in self.traits.items()}
        self.memberships = {renamed(key): value for key, value in self.memberships.items()}
        self.intervals = {renamed(key): value for key, value in self.intervals.items()}

    def _end(self, entity: str) -> None:
        self.traits = {key: value for key, value in self.traits.items() if key[0] != entity}
        self.memberships = {key: value for key, value in self.memberships.items() if entity not in key[:2]}
        self.intervals = {key: value for key, value in self.intervals.items() if key[0] != entity}


def interval(value: str | None, entered: str, left: str | None) -> Interval:
    """An interval of a state without a number."""
    return Interval(
        state_value=value, state_numeric_value=None, state_entered_at=entered, state_exited_at=left
    )


class Publisher:
    """Makes random changes of one generation, and knows the mapping after each.

    What is announced by several changes is only right after the last of them: `on_change` is called then.
    """

    def __init__(self, random: Random, generation: int = 1) -> None:
        self.random = random
        self.generation = generation
        self.number = 0
        self.entities: dict[str, set[int]] = {}
        self.known = 0
        self.quarantined: set[int] = set()
        self.erased: set[int] = set()
        self.snapshots = 0
        self.published: list[Change | Snapshot] = []
        self.on_change: Callable[[], None] = lambda: None
        self.told = Told()
        self.never_releases = False
        self._relabelled: set[str] = set()
        self._senior: dict[str, str] = {}  # of who came again: what the identifier was called at first

    def mapping(self) -> dict[Name, str]:
        """What a consumer should know now."""
        return {
            ("person", "user_id", str(each)): entity
            for entity, members in self.entities.items()
            for each in members
        }

    def step(self) -> None:
        """One random change."""
        several = len(self.entities) > 1
        choices = {
            self.create: 4,
            self.add: 5,
            self.merge: 3 if several else 0,
            self.relabel: 1,
            self.rearrange: 2 if several else 0,
            self.quarantine: 1,
            self.release: 0 if self.never_releases else 1,
            self.erase: 1,
            self.come_again: 1,
            self.profile: 8 if self.entities else 0,
        }
        self.random.choices(list(choices), weights=list(choices.values()))[0]()
        self.on_change()

    def create(self) -> None:
        self.known += 1
        self.entities[label(self.known)] = {self.known}
        self._publish(EntityCreated, label(self.known), identifiers=(user(self.known),))

    def add(self) -> None:
        if not self.entities:
            return self.create()
        entity = self.random.choice(sorted(self.entities))
        self.known += 1
        self.entities[entity].add(self.known)
        return self._publish(IdentifierAdded, entity, identifier=user(self.known))

    def merge(self) -> None:
        survivor, absorbed = self.random.sample(sorted(self.entities), 2)
        self.entities[survivor] |= self.entities.pop(absorbed)
        self.say_merged(survivor, absorbed)

    def relabel(self) -> None:
        """Another of the entity's identifiers turns out to be its senior one."""
        choices = [each for each in sorted(self.entities) if len(self.entities[each]) > 1]
        if not choices:
            return self.create()
        former = self.random.choice(choices)
        now = self.random.choice(
            [each for each in map(label, sorted(self.entities[former])) if each != former]
        )
        self.entities[now] = self.entities.pop(former)
        return self._publish(EntityRelabelled, now, former_id=former)

    def quarantine(self) -> None:
        """An identifier leaves the graph; what it held together may fall apart."""
        former = self._any_entity()
        if former is None:
            return self.create()
        members = self.entities[former]
        gone = self.random.choice(sorted(members))
        self.quarantined.add(gone)
        self._publish(IdentifierQuarantined, former, identifier=user(gone), reason=_SHARED)
        return self._regroup([former], self._in_groups(members - {gone}))

    def rearrange(self) -> None:
        """Some entities become some others, as when a suspended link is judged anew."""
        former = self.random.sample(sorted(self.entities), min(len(self.entities), self.random.randint(1, 3)))
        self._regroup(former, self._in_groups(set().union(*(self.entities[each] for each in former))))

    def release(self) -> None:
        """An identifier comes back, alone or into an entity."""
        if not self.quarantined:
            return self.create()
        back = self.random.choice(sorted(self.quarantined))
        self.quarantined.discard(back)
        entity = self.random.choice([label(back), *sorted(self.entities)])
        self.entities.setdefault(entity, set()).add(back)
        return self._publish(IdentifierReleased, entity, identifier=user(back), reason="released")

    def erase(self) -> None:
        """Identifiers of an entity are erased, or one that is out of the graph; what remains begins anew."""
        if self.quarantined and self.random.random() < 0.5:
            gone = [self.random.choice(sorted(self.quarantined))]
            self.quarantined.discard(gone[0])
            return self.say_erased(label(gone[0]), gone, ())
        former = self._any_entity()
        if former is None:
            return self.create()
        members = self.entities.pop(former)
        gone = self.random.sample(sorted(members), self.random.randint(1, len(members)))
        return self.say_erased(former, gone, self._in_groups(members.difference(gone)))

    def come_again(self) -> None:
        """What was erased signs up anew, and is somebody else: its key is another."""
        if not self.erased:
            return self.create()
        back = self.random.choice(sorted(self.erased))
        self.erased.discard(back)
        entity = label(back + 1_000 * (self.number + 1))
        self.entities[entity], self._senior[entity] = {back}, label(back)
        return self._publish(EntityCreated, entity, identifiers=(user(back),))

    def profile(self) -> None:
        """Something is said of what somebody is, is in, or is a member of."""
        who = self.random.choice(sorted(self.entities))
        self.random.choice([self._trait, self._membership, self._membership, self._state])(who)

    def _trait(self, who: str) -> None:
        value = self.random.choice([None, 1, "x", [1.5]])
        fact = {"source": "app", "event_id": "e", "occurred_at": instant(0)}
        self._publish(TraitChanged, who, name=self.random.choice("ab"), value=value, **fact)

    def _membership(self, who: str) -> None:
        about = {
            "group_id": self.random.choice(sorted(self.entities)),
            "role": self.random.choice([None, "r"]),
        }
        start = instant(self.random.randrange(9))
        if self.random.random() < 0.6:
            return self._publish(MembershipStarted, who, **about, started_at=start)
        times = self.random.choice([(None, None), (start, instant(12))])
        return self._publish(MembershipEnded, who, **about, started_at=times[0], ended_at=times[1])

    def _state(self, who: str) -> None:
        name, hours = self.random.choice("st"), self.random.sample(range(24), 4)
        said = {"state_name": name, "state_value": "v", "state_numeric_value": None}
        if self.random.random() < 0.5:
            return self._publish(StateEntered, who, **said, state_entered_at=instant(hours[0]))
        if self.random.random() < 0.5:
            times = {"state_entered_at": instant(hours[0]), "state_exited_at": instant(hours[1])}
            return self._publish(StateExited, who, **said, **times)
        known = [each for key, each in self.told.intervals.items() if key[:2] == (who, name)]
        replaced = self.random.choice([*known, None])
        several = [interval("w", instant(hour), None) for hour in hours[: self.random.randint(1, 2)]]
        intervals = () if replaced and self.random.random() < 0.3 else tuple(several)
        return self._publish(StateCorrected, who, state_name=name, replaced=replaced, intervals=intervals)

    def _any_entity(self) -> str | None:
        return self.random.choice(sorted(self.entities)) if self.entities else None

    def _in_groups(self, members: Iterable[int]) -> list[set[int]]:
        """The members at random in a few groups, in none if there are no members."""
        into = self.random.randint(1, 3)
        where = sorted((self.random.randrange(into), each) for each in members)
        return [{each for _, each in group} for _, group in groupby(where, key=lambda one: one[0])]

    def _regroup(self, former: Sequence[str], groups: Sequence[set[int]]) -> None:
        """Announce that the former entities are these groups: first the pieces, then what they became."""
        of_group: dict[int, list[str]] = {number: [] for number in range(len(groups))}
        for entity in former:
            members = self.entities.pop(entity)
            pieces = {number: members & group for number, group in enumerate(groups) if members & group}
            names = {number: self._name_of_piece(entity, piece) for number, piece in pieces.items()}
            self.say_apart(entity, [(names[number], piece) for number, piece in pieces.items()])
            for number, name in names.items():
                of_group[number].append(name)
        for number, names_of_pieces in of_group.items():
            survivor = self.random.choice(names_of_pieces)
            self.entities[survivor] = groups[number]
            for absorbed in names_of_pieces:
                if absorbed != survivor:
                    self.say_merged(survivor, absorbed)

    def _name_of_piece(self, entity: str, piece: set[int]) -> str:
        """Its senior identifier's: mostly the entity's own, if that is in the piece."""
        names = [label(each) for each in sorted(piece)]
        return entity if entity in names and self.random.random() < 0.8 else self.random.choice(names)

    def say_merged(self, survivor: str, absorbed: str) -> None:
        """Announce that two are one."""
        self._publish(EntitiesMerged, survivor, absorbed_id=absorbed, moved=1)

    def say_apart(self, entity: str, pieces: list[tuple[str, set[int]]]) -> None:
        """Announce that an entity is these pieces, under these ids."""
        if len(pieces) == 1:
            if pieces[0][0] != entity:
                self._publish(EntityRelabelled, pieces[0][0], former_id=entity)
            return
        elsewhere = [(name, piece) for name, piece in pieces if name != entity]
        for number, (name, piece) in enumerate(elsewhere, 1):
            for some in _by(_A_MESSAGE, sorted(piece)):
                named = tuple(map(user, some))
                about = {"part_id": name, "part": number, "parts": len(pieces), "identifiers": named}
                self._publish(EntitySplit, entity, **about)

    def say_erased(self, entity: str, gone: Sequence[int], remaining: Iterable[set[int]]) -> None:
        """Announce that an entity was erased but for what remains, which begins anew."""
        self.erased.update(gone)
        for some in _by(_A_MESSAGE, gone):
            self._publish(EntityErased, entity, erased_ids=tuple(map(label, some)))
        for group in remaining:
            name = label(self.random.choice(sorted(group)))
            self.entities[name] = group
            self._publish(EntityCreated, name, identifiers=tuple(map(user, sorted(group))))

    def snapshot(self, steps_between: int = 0) -> None:
        """The whole answer in pages of identifiers, while up to so many changes a page go on."""
        self.snapshots += 1
        self._relabelled.clear()
        index = 0
        said: set[str] = set()
        self._say(SnapshotStarted, index)
        for first in range(1, self.known + 1, 3):
            for entity, members in sorted(self.entities.items()):
                if page := sorted(members & set(range(first, first + 3))):
                    index += 1
                    said.add(entity)
                    self._say(
                        SnapshotIdentifiers,
                        index,
                        entity_type="person",
                        entity_id=entity,
                        identifiers=tuple(map(user, page)),
                    )
                if self._senior.get(entity, entity) in map(label, page):
                    index = self._say_profile(entity, index)
            for _ in range(self.random.randint(0, steps_between)):
                self.step()
        for entity in self._relabelled & self.entities.keys():  # those may have gone where the walk had been
            index = self._say_profile(entity, index)
        held = sum(map(len, self.entities.values()))
        self._say(SnapshotEnded, index + 1, entities=len(said), identifiers=held)

    def _say_profile(self, entity: str, index: int) -> int:
        """The messages on one entity's profile, after the one at the index; returns the index of the last."""
        told, fact = self.told, {"source": "app", "event_id": "e", "occurred_at": instant(0)}
        traits = [
            NamedTrait(name=name, value=value, **fact)
            for (who, name), value in told.traits.items() if who == entity
        ]  # fmt: skip
        memberships = [
            NamedMembership(group_id=group, role=role, started_at=times[0], ended_at=times[1])
            for (who, group, role), times in told.memberships.items() if who == entity
        ]  # fmt: skip
        messages: list[tuple[type[Snapshot], dict[str, object]]] = [
            (SnapshotTraits, {"traits": (each,)}) for each in traits
        ]
        if memberships:
            messages.append((SnapshotMemberships, {"memberships": tuple(memberships)}))
        for name in "st":
            each = tuple(one for key, one in told.intervals.items() if key[:2] == (entity, name))
            if each:
                messages.append((SnapshotStates, {"state_name": name, "intervals": each}))
        for kind, fields in messages:
            index += 1
            self._say(kind, index, entity_type="person", entity_id=entity, **fields)
        return index

    def _publish(self, kind: type[Change], entity: str, **fields: object) -> None:
        self.number += 1
        name = str(kind.model_fields["transition"].default)
        made = kind(
            transition_id=make_transition_id(KEYRING, name, b"", entity, str(self.number)),
            namespace="acme",
            generation=self.generation,
            number=self.number,
            entity_type="person",
            entity_id=entity,
            cause=_CAUSE,
            **fields,
        )
        self.published.append(made)
        self.told.hear(made)
        if isinstance(made, EntityRelabelled):
            self._relabelled.add(entity)

    def _say(self, kind: type[Snapshot], index: int, **fields: object) -> None:
        name = str(kind.model_fields["transition"].default)
        made = kind(
            transition_id=make_snapshot_id(KEYRING, name, self.generation, self.snapshots, index),
            namespace="acme",
            generation=self.generation,
            number=self.number,
            snapshot=self.snapshots,
            index=index,
            **fields,
        )
        self.published.append(made)


def _by(size: int, members: Sequence[int]) -> list[Sequence[int]]:
    return [members[start : start + size] for start in range(0, len(members), size)]
