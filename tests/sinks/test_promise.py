"""What every sink promises: one suite, every backend."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.transitions import Transition
from tests.sinks.conftest import DeadLetters, Transitions
from tests.sinks.made_up import created, dead_letter, entity, erased, history, merged, snapshot_started


def numbers_of(entity_id: str, transitions: Iterable[Transition]) -> list[int]:
    return [one.number for one in transitions if getattr(one, "entity_id", None) == entity_id]


def test_what_was_written_is_there(transitions: Transitions) -> None:
    """When `write` has returned, every transition can be read at the destination, as it was."""
    batch = history(100)
    transitions.sink.write(batch)
    assert sorted(transitions.read(), key=lambda one: one.number) == batch


def test_the_order_of_an_entity_is_kept(transitions: Transitions) -> None:
    """Over several batches, the transitions of one entity stay in order."""
    batch = history(100)
    for start in range(0, 100, 10):
        transitions.sink.write(batch[start : start + 10])
    found = transitions.read()
    for one in batch[:7]:
        entity_id = str(getattr(one, "entity_id", ""))
        assert numbers_of(entity_id, found) == numbers_of(entity_id, batch)


def test_an_empty_batch_is_written_at_once(transitions: Transitions) -> None:
    """Nothing to write is no error."""
    transitions.sink.write([])
    assert transitions.read() == []


def test_twice_leaves_one_copy_for_who_keys_on_the_id(transitions: Transitions) -> None:
    """A batch that is written again adds no transition_id."""
    batch = history(10)
    transitions.sink.write(batch)
    transitions.sink.write(batch)
    assert len({one.transition_id for one in transitions.read()}) == 10


def test_every_kind_of_transition_arrives(transitions: Transitions) -> None:
    """Those about two entities and those about none as well."""
    batch: list[Transition] = [created(1), merged(2, 1, 9), snapshot_started(2), erased(3, 1, 9)]
    transitions.sink.write(batch)
    assert {one.transition_id for one in transitions.read()} == {one.transition_id for one in batch}
    assert all(one in batch for one in transitions.read())


def test_an_erasure_written_twice_is_one(transitions: Transitions) -> None:
    """What began anew behind it stands behind it again."""
    batch: list[Transition] = [created(1), erased(2, 1, 9), created(3, about=1)]
    for _ in range(2):
        transitions.sink.write(batch)
    assert numbers_of(entity(1), transitions.read()) == [1, 2, 3, 1, 2, 3]


def test_closing_twice_is_harmless(transitions: Transitions) -> None:
    """Who cleans up need not know who else did."""
    transitions.sink.write([created(1)])
    transitions.sink.close()
    transitions.sink.close()


def test_a_dead_letter_is_untouched(dead_letters: DeadLetters) -> None:
    """Payload, key and the producer's headers come back byte for byte, with the reason."""
    batch = [
        dead_letter(0, b'{"a": 1}', b"key", (("trace", b"1"),)),
        dead_letter(1, b"\xff\x00\n\xfe", b"\xfe", (("trace", b"\xff"), ("empty", b""))),
        dead_letter(2, b""),
        dead_letter(3, None, b"key"),
        dead_letter(4, '\ufeff{"ü": "\u2028"}\r\n'.encode()),
    ]
    dead_letters.sink.write(batch)
    assert sorted(dead_letters.read(), key=lambda one: one.message.offset) == batch


def test_a_dead_letter_may_be_large(dead_letters: DeadLetters) -> None:
    """A message that is one because it was too large arrives whole."""
    large = dead_letter(0, b"\xf0" * (3 * 1024 * 1024))
    dead_letters.sink.write([large])
    assert dead_letters.read() == [large]
