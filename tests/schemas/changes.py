"""A tiny resolver that publishes: the oracle for what a consumer of the transitions makes of them."""

from collections.abc import Callable
from random import Random

from schemas.identifiers import Keyring, entity_id
from schemas.mapping import Name
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityRelabelled,
    IdentifierAdded,
    NamedIdentifier,
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
    SnapshotStarted,
    make_snapshot_id,
    make_transition_id,
)

KEYRING = Keyring("acme")
_CAUSE = Cause.at(0, "app", "e")


def user(number: int) -> NamedIdentifier:
    """The identifier of user `number`."""
    return NamedIdentifier(type="user_id", value=str(number))


def label(number: int) -> str:
    """The id of the entity whose senior identifier is that of user `number`."""
    return entity_id("person", number.to_bytes(16, "big"))


class Publisher:
    """Makes random changes of one generation, and knows the mapping after each."""

    def __init__(self, random: Random, generation: int = 1) -> None:
        self.random = random
        self.generation = generation
        self.number = 0
        self.entities: dict[str, set[int]] = {}
        self.known = 0
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
        kinds = [self.create, self.add, self.merge, self.relabel]
        self.random.choices(kinds, weights=[4, 3, 2 if len(self.entities) > 1 else 0, 1])[0]()

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
        moved = self.entities.pop(absorbed)
        self.entities[survivor] |= moved
        self._publish(EntitiesMerged, survivor, absorbed_id=absorbed, moved=len(moved))

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
        self._say(SnapshotEnded, index + 1, entities=len(said), identifiers=self.known)

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
        self.on_change()

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
