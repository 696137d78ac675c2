"""The one question after every crash: is everything as if nothing had happened?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from resolver.reference import Reference
from schemas.dead_letters import from_headers
from schemas.decode import decode
from schemas.events import Message
from schemas.mapping import EntityMapping, Name
from schemas.transitions import Change, Transition, entity_keys, from_json
from tests.chaos import topics
from tests.chaos.topics import Place
from tests.chaos.world import World


def assert_as_if_nothing_happened(world: World, generations: int = 1) -> None:
    """The store, the published transitions and the dead letters are what the input asks for, none lost.

    `generations`: in how many the transitions were made; only a store that forgot something begins another.
    """
    expected = reference(world)
    assert world.exported == expected
    world.store.check()
    published = transitions_of(world)
    assert_published_in_order(published)
    assert len({transition(message).generation for message in published}) == generations
    # of several generations, as somebody read them who was there all the time
    consumer = follow(sorted(published, key=lambda message: transition(message).generation))
    assert consumer.missing == ()
    assert consumer.as_dict() == expected
    assert dead_letters(world) == malformed(world)


def transitions_of(world: World) -> list[Message]:
    """Every message of the transitions topic but the tombstones, which say nothing."""
    return [each for each in topics.read(world.kafka, world.transitions) if each.value is not None]


def reference(world: World) -> dict[Name, str]:
    """The reference's answer to the messages that are in the input, at the broker's times."""
    reference = Reference(world.keyring)
    for format_name, topic in world.inputs.items():
        for message in topics.read(world.kafka, topic):
            reference.add(decode(message, format_name).events)
    answer = reference.answer().entity_of
    return {
        (one.entity_type, one.identifier_type, one.identifier_value): name for one, name in answer.items()
    }


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


def assert_published_in_order(published: Iterable[Message]) -> None:
    """Numbers without gaps; one number always means one transition; each is under all of its keys; no
    partition shows a transition for the first time after a later one.
    """
    meaning: dict[tuple[int, int], bytes] = {}
    ids: dict[tuple[int, str], int] = {}
    keys: defaultdict[tuple[int, int], set[str]] = defaultdict(set)
    seen: defaultdict[int, set[tuple[int, int]]] = defaultdict(set)
    for message in published:
        change = transition(message)
        if not isinstance(change, Change):
            continue
        assert message.value is not None
        assert meaning.setdefault(change.sequence, message.value) == message.value
        assert ids.setdefault((change.generation, change.transition_id), change.number) == change.number
        keys[change.sequence].add((message.key or b"").decode())
        shown = seen[message.partition]
        assert change.sequence in shown or not shown or change.sequence > max(shown), "out of order"
        shown.add(change.sequence)
    assert_no_gaps(meaning)
    for sequence, value in meaning.items():
        assert keys[sequence] == set(entity_keys(from_json(value)))


def assert_no_gaps(sequences: Mapping[tuple[int, int], bytes]) -> None:
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
