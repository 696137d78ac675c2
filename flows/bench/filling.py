"""Fills a store with people, quickly: big batches straight into `apply`."""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice

from flows.bench.traffic import as_canonical
from flows.wiring import Wiring
from resolver.links import Linker
from resolver.store import Applied, Batch, Command, Evidence, Move
from schemas.events import Event, Message, Participant, log_position
from schemas.identifiers import Identifier

IDENTIFIERS_EACH = 5
Link = tuple[Identifier, ...]

_BATCH = 2_000  # links in one call
_LONG_AGO_MS = 1_700_000_000_000
_NOW_MS = 1_780_000_000_000


def named(identifier_type: str, value: str) -> Identifier:
    """A person's identifier whose value is in normal form as it stands."""
    return Identifier("person", identifier_type, value)


def person(number: int) -> tuple[Link, ...]:
    """The links of one made-up customer: two devices, a user id, an address, a payment account."""
    device, other, user, email, stripe = (
        named(kind, value)
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
    Feed(parts, "fill").fill(link for number in range(persons) for link in person(number))
    return persons * IDENTIFIERS_EACH


class Feed:
    """One partition of links straight into the store, each a millisecond younger than the one before.

    No other feed of the store may have its name.
    """

    def __init__(self, parts: Wiring, name: str, begins_ms: int = _LONG_AGO_MS) -> None:
        self._parts, self._name = parts, name
        self._linker = Linker(
            parts.keyring, parts.settings.rules
        )  # the stream's own remembers nothing of these
        self._at: int | None = None
        self._instants = count(begins_ms)

    def position(self) -> bytes:
        """The log position of what comes next."""
        instant = next(self._instants)
        return log_position(instant, self._name, f"{instant:x}")

    def evidence(self, links: Iterable[Link]) -> tuple[Evidence, ...]:
        """The links as the store wants them. Each is to be another one."""
        made = []
        for identifiers in links:
            shape = self._linker.shape(identifiers)
            assert shape is not None  # no guard knows these values
            instant = next(self._instants)
            made.append(Evidence(shape, log_position(instant, self._name, f"{instant:x}"), instant))
        return tuple(made)

    def batch(self, evidence: tuple[Evidence, ...] = (), command: Command | None = None) -> Batch:
        """A call that begins where the last one ended."""
        expected, self._at = self._at, (self._at or 0) + 1
        return Batch((Move(f"bench-{self._name}", 0, expected, self._at),), evidence, command)

    def apply(self, batch: Batch) -> None:
        """One call. Nobody else feeds this partition, so a refusal is a fault."""
        outcome = self._parts.store.apply(batch)
        assert isinstance(outcome, Applied), outcome

    def fill(self, links: Iterable[Link]) -> None:
        """All of these in large calls; what they bring about is not published. Not beside another feed.

        The next call is made up while Redis works on the one before.
        """
        waiting, working = iter(links), None
        with ThreadPoolExecutor(1) as beside:
            while some := tuple(islice(waiting, _BATCH)):
                batch = self.batch(self.evidence(some))
                if working is not None:
                    working.result()
                working = beside.submit(self._put, batch)
            if working is not None:
                working.result()

    def _put(self, batch: Batch) -> None:
        self.apply(batch)
        publish_nothing(self._parts)


def publish_nothing(parts: Wiring) -> None:
    """Drop what is in the outbox, as if it had been published."""
    store = parts.store
    store.advance(store.cursor(), store.sequence(), store.waiting())


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
        link = (*person(whose)[1][1:2], named("anonymous_id", f"anon-visit-{number:09x}"))
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
