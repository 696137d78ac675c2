"""The one question after every crash: is everything as if nothing had happened?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from flows.operations import Operations
from resolver.reference import Reference
from resolver.store import Command
from schemas.dead_letters import from_headers
from schemas.decode import decode
from schemas.events import Message
from schemas.identifiers import EntityType, Identifier, identifier
from schemas.mapping import EntityMapping, Name
from schemas.redaction import IsErased, redacted
from schemas.transitions import Change, NamedIdentifier, Redacted, Transition, entity_keys, from_json
from tests.chaos import topics
from tests.chaos.topics import Place
from tests.chaos.world import World

Answer: TypeAlias = Mapping[Name, str]
"""The entity id of every identifier."""

_ENTITY_TYPES: tuple[EntityType, ...] = ("person", "group")


def assert_as_if_nothing_happened(world: World, generations: int = 1) -> None:
    """The store, the published transitions and the dead letters are what the input asks for, none lost.

    `generations`: in how many the transitions were made; only a store that forgot something begins another.
    """
    expected = reference(world)
    found = differing(world.exported, expected)
    assert not found, found
    world.store.check()
    published = transitions_of(world)
    assert_published_in_order(published, erased_in(world))
    assert len({transition(message).generation for message in published}) == generations
    # of several generations, as somebody read them who was there all the time
    consumer = follow(sorted(published, key=lambda message: transition(message).generation))
    assert consumer.missing == ()
    found = differing(consumer.as_dict(), expected)
    assert not found, found
    assert dead_letters(world) == malformed(world)


def assert_told(world: World) -> dict[Name, str]:
    """Whatever state the store is in, who reads what it published, and has yet to publish, knows its answer.

    Where an erasure has redacted what it has yet to publish, that may take the snapshot that is due. Returns
    the answer. Nobody may be at work.
    """
    store = world.store
    answer = {
        (one.entity_type, one.identifier_type, one.identifier_value): name
        for entity_type in _ENTITY_TYPES
        for one, name in store.mapping(entity_type)
    }
    consumer = follow(transitions_of(world))
    for entry in store.outbox(store.cursor(), 100_000, 0):
        for change in entry.transitions:
            consumer.apply(change)
    difference = differing(consumer.as_dict(), answer)
    assert (consumer.missing == () and not difference) or store.snapshot_due(), difference
    return answer


def differing(
    one: Mapping[Name, str], other: Mapping[Name, str]
) -> dict[Name, tuple[str | None, str | None]]:
    """Where two answers are not the same."""
    names = one.keys() | other.keys()
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def transitions_of(world: World) -> list[Message]:
    """Every message of the transitions topic but the tombstones, which say nothing."""
    return [each for each in topics.read(world.kafka, world.transitions) if each.value is not None]


def reference(world: World) -> dict[Name, str]:
    """The reference's answer to the messages that are in the topics, at the broker's times."""
    reference = Reference(world.keyring)
    reference.operate(commands(world))
    for format_name, topic in world.inputs.items():
        for message in topics.read(world.kafka, topic):
            reference.add(decode(message, format_name).events)
    answer = reference.answer().entity_of
    return {
        (one.entity_type, one.identifier_type, one.identifier_value): name for one, name in answer.items()
    }


def commands(world: World) -> list[Command]:
    """What operators said, as the store is told of it."""
    operations, found = Operations(world.control, world.keyring, identifier), []
    for message in topics.read(world.kafka, world.control):
        operation = operations.decode(message)
        assert operation is not None
        command = operations.command(operation, message.ingested_at_ms, lambda key, _: key)
        assert command is not None
        found.append(command)
    return found


def follow(published: Iterable[Message]) -> EntityMapping:
    """A consumer that has read these messages, beginning with nothing."""
    consumer = EntityMapping()
    for message in published:
        consumer.apply(transition(message))
    return consumer


def transition(message: Message) -> Transition:
    """What a message of the transitions topic says."""
    assert message.value is not None
    return from_json(message.value)


def erased_in(world: World) -> IsErased:
    """Whether an operator ever had an identifier erased."""
    erased = {key for command in commands(world) if command.kind == "erase" for key in command.keys}

    def is_erased(entity_type: EntityType, one: NamedIdentifier) -> bool:
        name = Identifier(entity_type, one.type, one.value)
        return world.keyring.key(name) in erased

    return is_erased


def assert_published_in_order(published: Iterable[Message], is_erased: IsErased) -> None:
    """Numbers without gaps; one number always means one transition, but for erased identifiers that a copy
    no longer names; each is under all of its keys; no partition shows a transition for the first time after a
    later one.
    """
    copies: defaultdict[tuple[int, int], list[Change]] = defaultdict(list)
    ids: dict[tuple[int, str], int] = {}
    keys: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    seen: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for message in published:
        change = transition(message)
        if not isinstance(change, Change):
            continue
        copies[change.sequence].append(change)
        assert ids.setdefault((change.generation, change.transition_id), change.number) == change.number
        keys[change.sequence].add((message.key or b"").decode())
        shown = seen[message.partition]
        assert change.sequence in shown or not shown or change.sequence > max(shown), "out of order"
        shown.add(change.sequence)
    assert_no_gaps(copies)
    for sequence, same in copies.items():
        assert_one_meaning(same, is_erased)
        assert set.intersection(*map(_keys, same)) <= keys[sequence] <= set.union(*map(_keys, same))


def assert_one_meaning(copies: Sequence[Change], is_erased: IsErased) -> None:
    """All copies of a change are equal; those with erased identifiers, or of the profile of somebody who was
    erased, are without them.
    """
    subjects = {one.entity_id for one in copies if isinstance(one, Redacted)}
    first = redacted(copies[0], is_erased, subjects)
    for one in copies[1:]:
        assert one == copies[0] or redacted(one, is_erased, subjects) == first


def _keys(change: Change) -> set[str]:
    return set(entity_keys(change))


def assert_no_gaps(sequences: Iterable[tuple[int, int]]) -> None:
    """The numbers of each generation are one, two, three and so on."""
    numbers: defaultdict[int, list[int]] = defaultdict(list)
    for generation, number in sorted(sequences):
        numbers[generation].append(number)
    for generation, found in numbers.items():
        assert found == list(range(1, len(found) + 1)), f"generation {generation} has gaps"


def dead_letters(world: World) -> dict[Place, tuple[bytes | None, bytes | None]]:
    """Where each dead letter came from, with the key and value that it had."""
    found: dict[Place, tuple[bytes | None, bytes | None]] = {}
    for message in topics.read(world.kafka, world.dead_letters):
        first = from_headers(message.headers, message.key, message.value).message
        place, content = (first.topic, first.partition, first.offset), (message.key, message.value)
        assert found.setdefault(place, content) == content
    return found


def malformed(world: World) -> dict[Place, tuple[bytes | None, bytes | None]]:
    """Where the producer put each message that it broke on purpose, with its key and value."""
    return {
        place: (record.key, record.value)
        for place, record in world.places.items()
        if record.fault == "malformed"
    }
