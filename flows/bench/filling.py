"""Fills a store with people, quickly: big batches straight into `apply`."""

import random
from collections.abc import Iterable, Iterator
from itertools import count, islice

from flows.bench.traffic import as_canonical
from flows.wiring import Wiring
from resolver.links import Linker
from resolver.store import Applied, Batch, Evidence, Move
from schemas.events import Event, Message, Participant, log_position
from schemas.identifiers import Identifier

IDENTIFIERS_EACH = 5
_TOPIC = "bench-fill"
_BATCH = 2_000  # links in one call
_LONG_AGO_MS = 1_700_000_000_000
_NOW_MS = 1_780_000_000_000


def person(number: int) -> tuple[tuple[Identifier, ...], ...]:
    """The links of one made-up customer: two devices, a user id, an address, a payment account."""
    device, other, user, email, stripe = (
        Identifier("person", kind, value)
        for kind, value in (
            ("anonymous_id", f"anon-fill-{number:08x}-1"),
            ("anonymous_id", f"anon-fill-{number:08x}-2"),
            ("user_id", f"u-fill-{number}"),
            ("email", f"customer.{number}@fill.example"),
            ("stripe_customer_id", f"cus_fill{number:08x}"),
        )
    )
    return (device,), (device, user, email), (other, user), (stripe, email)


def fill(parts: Wiring, identifiers: int) -> int:
    """Put so many identifiers into the store, and nothing into the outbox; returns how many there are."""
    persons = max(1, identifiers // IDENTIFIERS_EACH)
    linker = Linker(parts.keyring)  # the stream's own remembers nothing of these
    stream = _evidence(linker, persons)
    at = 0
    while batch := tuple(islice(stream, _BATCH)):
        expected = at or None
        at += len(batch)
        outcome = parts.store.apply(Batch((Move(_TOPIC, 0, expected, at),), batch))
        assert isinstance(outcome, Applied), outcome
        publish_nothing(parts)
    return persons * IDENTIFIERS_EACH


def publish_nothing(parts: Wiring) -> None:
    """Drop what is in the outbox, as if it had been published."""
    store = parts.store
    store.advance(store.cursor(), store.sequence(), store.waiting())


def _evidence(linker: Linker, persons: int) -> Iterable[Evidence]:
    return (one for number in range(persons) for one in _of_person(linker, number))


def _of_person(linker: Linker, number: int) -> Iterator[Evidence]:
    for place, identifiers in enumerate(person(number)):
        shape = linker.shape(identifiers)
        assert shape is not None  # no guard knows these values
        instant = _LONG_AGO_MS + number
        yield Evidence(shape, log_position(instant, "fill", f"{number}-{place}"), instant)


def visits(each: int, rounds: int, identifiers: int, share_new: float) -> Iterator[list[Message]]:
    """Slices of events of the first `identifiers` filled, evenly drawn; a share brings a new device."""
    chance = random.Random(f"visits {share_new}")
    persons = identifiers // IDENTIFIERS_EACH
    numbers = count(int(share_new * 1000) * 10_000_000)
    for _ in range(rounds):
        yield [
            _visit(next(numbers), chance.randrange(persons), chance.random() < share_new) for _ in range(each)
        ]


def _visit(number: int, whose: int, is_new: bool) -> Message:
    link = person(whose)[number % 4]
    if is_new:
        link = (*person(whose)[1][1:2], Identifier("person", "anonymous_id", f"anon-visit-{number:09x}"))
    event = Event(
        f"visit-{number}",
        "bench",
        "page_viewed",
        None,
        _NOW_MS + number,
        _NOW_MS + number,
        (Participant(None, "person", None, link, {}),),
    )
    blank = Message("bench", 0, number, number + 1, _NOW_MS + number, None, str(whose).encode())
    return as_canonical(event, blank)
