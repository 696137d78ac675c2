"""What a consumer of the transitions topic keeps: which identifier belongs to which entity, now, and the
profiles of the entities: their traits, memberships and timelines (`schemas.profiles`).

This is the documented way to read the topic, and small enough to be copied into another language. The topic
is partitioned by entity, so transitions come in any order across partitions, and a merge comes twice, once
under each of its keys. A message without a value is a tombstone: it is for topics that are compacted, and a
reader leaves it out. `EntityMapping` makes one order of the rest:

1. Within a generation the numbers have no gaps. A transition waits until all smaller ones were applied; one
   that was applied before is a duplicate and changes nothing.
2. A higher generation says that the store went back in time. Its numbers start at 1 again. What is known
   stays known, since the same causes give the same changes, and what older generations still say is left to
   the snapshot that is sent once the store has caught up (`nexus publish --snapshot`).
3. A snapshot says the whole answer. It is kept aside until all its messages are there, and until every
   change up to its end was applied. Then each of its identifiers is set to the entity it names, unless a
   later change spoke of it, and followed through the merges that came after; one whose entity was erased
   since is dropped. Identifiers that neither the snapshot nor a later change named are dropped. Whatever
   came before the snapshot's start need not be waited for any more: that is how a consumer starts in the
   middle of the topic.

What is dropped is not kept by name, since it may have been erased: what has to be remembered of it, so that a
snapshot that arrives late does not bring it back, is kept under a hash whose key nobody else has.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, TypeAlias

from schemas.identifiers import EntityType, encode_parts
from schemas.profiles import Profiles, Sequence, Steps, followed, forget_steps
from schemas.transitions import (
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
    Snapshot,
    SnapshotEnded,
    SnapshotIdentifiers,
)

Name: TypeAlias = tuple[EntityType, str, str]
"""Entity type, identifier type, normalised value."""

_SHOWN: Final = 1_000
_NEVER: Final[Sequence] = (0, 0)


class EntityMapping:
    """The mapping that the published transitions describe, in any order and any number of times.

    When nothing is `missing`, it is the answer as of the last number. Memory grows with identifiers and, up
    to the next snapshot, with merges and what was taken out; while a snapshot comes in, with the snapshot
    too.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.number = 0  # of the last change applied
        self.profiles = Profiles()
        self._entity: dict[Name, str] = {}
        self._members: defaultdict[str, set[Name]] = defaultdict(set)
        self._said: dict[Name, Sequence] = {}  # when an identifier that belongs to one was last named
        self._gone: dict[bytes, Sequence] = {}  # when one that belongs to none was, by its veiled name
        self._veil = secrets.token_bytes()
        # what became of all that an id stood for, and at which numbers of the generation; None: it was erased
        self._became: defaultdict[str, Steps] = defaultdict(list)
        self._waiting: dict[int, Change] = {}
        self._snapshots: dict[int, dict[int, Snapshot]] = {}
        self._finished = 0  # the last snapshot that was applied
        self._is_partial = False  # something was left out, and is made good by a snapshot that starts
        self._skipped_to = 0  # at this number or a later one

    def apply(self, transition: Change | Snapshot) -> None:
        """Take one transition in; it takes effect when its turn has come."""
        if transition.generation < self.generation:
            return
        if transition.generation > self.generation:
            self._begin(transition.generation)
        if isinstance(transition, Snapshot):
            if transition.snapshot > self._finished:
                self._snapshots.setdefault(transition.snapshot, {})[transition.index] = transition
        elif transition.number > self.number:
            self._waiting[transition.number] = transition
        self._advance()

    def entity_of(self, entity_type: EntityType, identifier_type: str, value: str) -> str | None:
        """The id of the entity that holds this normalised identifier, or None."""
        return self._entity.get((entity_type, identifier_type, value))

    def as_dict(self) -> dict[Name, str]:
        """Every identifier with the id of its entity."""
        return dict(self._entity)

    @property
    def missing(self) -> tuple[int, ...]:
        """The numbers that are waited for, since greater ones have come; at most the first thousand."""
        last = max(self._waiting, default=self.number)
        gaps = (number for number in range(self.number + 1, last) if number not in self._waiting)
        return tuple(number for number, _ in zip(gaps, range(_SHOWN), strict=False))

    def _begin(self, generation: int) -> None:
        self._is_partial = self.generation > 0  # what is known may be of a past that was taken back
        self.generation, self.number, self._finished, self._skipped_to = generation, 0, 0, 0
        self._waiting.clear()
        self._snapshots.clear()
        self._became.clear()  # a snapshot of this generation is younger than all of it
        self._gone.clear()
        self.profiles.begin_generation()

    def _advance(self) -> None:
        """Apply whatever has become due: changes in their order, then snapshots that are complete."""
        self._apply_changes()
        for snapshot in sorted(self._snapshots):
            if (messages := self._complete(snapshot)) is not None:
                self._skip_to(messages[0].number)
                self._apply_changes()
                if self.number >= messages[-1].number:
                    self._apply_snapshot(snapshot, messages)

    def _apply_changes(self) -> None:
        while (change := self._waiting.pop(self.number + 1, None)) is not None:
            self.number += 1
            self._apply_change(change)

    def _apply_change(self, change: Change) -> None:
        match change:
            case EntityCreated():
                self.profiles.end(change.entity_id, change.number)  # an id that comes back begins anew
                self._name(change.entity_type, change.entity_id, change.identifiers, change.sequence)
            case IdentifierAdded() | IdentifierReleased():
                self._name(change.entity_type, change.entity_id, (change.identifier,), change.sequence)
            case EntitiesMerged():
                self._move(change.absorbed_id, change.entity_id, change.number)
                self.profiles.end(change.absorbed_id, change.number)
            case EntityRelabelled():
                self._move(change.former_id, change.entity_id, change.number)
                self.profiles.move(change.former_id, change.entity_id, change.number)
            case EntitySplit():
                self.profiles.end(change.part_id, change.number)
                self._name(change.entity_type, change.part_id, change.identifiers, change.sequence)
                self._end_if_empty(change)
            case IdentifierQuarantined():
                self._drop(_name_of(change.entity_type, change.identifier), change.sequence)
                self._end_if_empty(change)
            case EntityErased():
                self._end(change.entity_id, change.number)
                self.profiles.end(change.entity_id, change.number)
            case _:
                self.profiles.apply(change)

    def _end_if_empty(self, change: Change) -> None:
        """The profile of an id goes with its last identifier, if all of them are known."""
        if change.entity_id not in self._members and not self._is_partial:
            self.profiles.end(change.entity_id, change.number)

    def _name(
        self, entity_type: EntityType, entity_id: str, identifiers: Iterable[NamedIdentifier], at: Sequence
    ) -> None:
        for identifier in identifiers:
            self._set(_name_of(entity_type, identifier), entity_id, at)

    def _set(self, name: Name, entity_id: str, at: Sequence) -> None:
        self._put(name, entity_id)
        self._said[name] = at
        if self._gone:
            self._gone.pop(self._veiled(name), None)

    def _drop(self, name: Name, at: Sequence) -> None:
        """It belongs to nobody, as was last said `at`."""
        self._remove(name)
        self._said.pop(name, None)
        self._gone[self._veiled(name)] = at

    def _move(self, former: str, now: str, number: int) -> None:
        self._became[former].append((number, now))
        for name in self._members.pop(former, ()):
            self._put(name, now)

    def _end(self, entity_id: str, number: int) -> None:
        """Forget an erased entity.

        Its identifiers are not named, so nothing newer is said of them: one that we have here by mistake, as
        after a gap, may still be put right by a snapshot that is older than the erasure.
        """
        self._became[entity_id].append((number, None))
        for name in self._members.pop(entity_id, ()):
            self._drop(name, self._said[name])

    def _put(self, name: Name, entity_id: str) -> None:
        self._remove(name)
        self._entity[name] = entity_id
        self._members[entity_id].add(name)

    def _remove(self, name: Name) -> None:
        former = self._entity.pop(name, None)
        if former is not None and former in self._members:
            self._members[former].discard(name)
            if not self._members[former]:
                del self._members[former]

    def _complete(self, snapshot: int) -> list[Snapshot] | None:
        """All messages of a snapshot in their order, or None while one is missing."""
        messages = self._snapshots[snapshot]
        last = messages[max(messages)]
        if not isinstance(last, SnapshotEnded) or len(messages) != last.index + 1:
            return None
        return [messages[index] for index in range(len(messages))]

    def _skip_to(self, number: int) -> None:
        """Go on after `number`: what came up to it is said by a snapshot that is complete."""
        if number > self.number:
            self.number = self._skipped_to = number
            self._is_partial = True
            self._waiting = {each: change for each, change in self._waiting.items() if each > number}

    def _apply_snapshot(self, snapshot: int, messages: list[Snapshot]) -> None:
        named: set[Name] = set()
        pieces: set[tuple[str, object]] = set()
        for message in messages:
            if isinstance(message, SnapshotIdentifiers):
                named.update(self._confirm(message))
            pieces.update(self.profiles.confirm(message))
        start: Sequence = (self.generation, messages[0].number)
        for name in [name for name in self._entity if name not in named and self._said[name] <= start]:
            self._remove(name)
            del self._said[name]
        self._forget_before(start)
        self.profiles.forget(pieces, start)
        if start[1] >= self._skipped_to:
            self._is_partial = False
            self.profiles.keep_of(self._members)
        self._finished = snapshot
        self._snapshots = {each: kept for each, kept in self._snapshots.items() if each > snapshot}

    def _forget_before(self, start: Sequence) -> None:
        """Let go of what only a snapshot older than this one could ask for: none that comes is."""
        self._gone = {veiled: at for veiled, at in self._gone.items() if at > start}
        forget_steps(self._became, start[1])

    def _confirm(self, message: SnapshotIdentifiers) -> Iterable[Name]:
        """Set the identifiers of one message to the entity that the one it names has become since."""
        at: Sequence = (message.generation, message.number)
        entity_id = followed(self._became, message.entity_id, message.number)
        for identifier in message.identifiers:
            name = _name_of(message.entity_type, identifier)
            if self._last_said(name) <= at:
                if entity_id is None:
                    self._drop(name, at)
                else:
                    self._set(name, entity_id, at)
            yield name

    def _last_said(self, name: Name) -> Sequence:
        said = self._said.get(name)
        if said is None and self._gone:
            said = self._gone.get(self._veiled(name))
        return said or _NEVER

    def _veiled(self, name: Name) -> bytes:
        return blake2b(encode_parts(*name), digest_size=16, key=self._veil).digest()


def _name_of(entity_type: EntityType, identifier: NamedIdentifier) -> Name:
    return entity_type, identifier.type, identifier.value
