"""A tiny resolver that publishes: the oracle for what a consumer of the transitions makes of them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from random import Random

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
    NamedIdentifier,
    QuarantineReason,
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
    SnapshotStarted,
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
            self.release: 1,
            self.erase: 1,
            self.come_again: 1,
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
        self.entities[entity] = {back}
        return self._publish(EntityCreated, entity, identifiers=(user(back),))

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
            for _ in range(self.random.randint(0, steps_between)):
                self.step()
        held = sum(map(len, self.entities.values()))
        self._say(SnapshotEnded, index + 1, entities=len(said), identifiers=held)

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
