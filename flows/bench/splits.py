"""Entities that come apart: how long the call takes, and how long everybody else waits meanwhile."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from flows.bench.beside import Beside, beside
from flows.bench.figures import Figure, middle, quantile
from flows.bench.filling import IDENTIFIERS_EACH, Feed, Link, named, person
from flows.bench.place import Place
from flows.wiring import Wiring
from resolver.store import Batch, Command
from schemas.identifiers import Identifier

_ONE_CALL, _LARGE = 10_000, 100_000  # identifiers of an entity
_ENTITIES, _LARGE_ENTITIES = 7, 2  # of each kind
_SPAN_S = 1.0  # of the stream, with a split in it and without
_SHORTEST_S = 0.2  # for a batch of the stream to be due
_LOOK_S, _PATIENCE_S = 0.005, 120.0
_BYSTANDERS = 1_000  # customers that the stream tells more about
_ROOM = 1_000_000  # for the numbers of one entity's customers

Way = Literal["quarantine", "block"]
_BRIDGE_TYPES: dict[Way, str] = {"quarantine": "anonymous_id", "block": "email"}


@dataclass(frozen=True, slots=True)
class Joined:
    """Customers whom one value, the bridge, makes one entity: each by itself, or in two halves."""

    number: int
    customers: int
    way: Way
    in_two: bool

    @property
    def bridge(self) -> Identifier:
        """What it stands and falls with."""
        return named(_BRIDGE_TYPES[self.way], f"bridge-{self.number}@joined.example")

    @property
    def email(self) -> Identifier:
        """An address in the midst of it."""
        return self._customer(0)[1][2]

    def links(self) -> Iterator[Link]:
        """About as many as there are identifiers."""
        halves = self._user("a"), self._user("b")
        for user in halves:
            yield self.bridge, user
        for place in range(self.customers):
            customer = self._customer(place)
            yield from customer
            yield halves[place % 2] if self.in_two else self.bridge, customer[1][2]

    def end(self, parts: Wiring, feed: Feed) -> Batch:
        """What takes the bridge out: a third user id on the device, or an operator who blocks it."""
        if self.way == "quarantine":
            return feed.batch(feed.evidence([(self.bridge, self._user("c"))]))
        return feed.batch(
            command=Command("block", "person", feed.position(), (parts.keyring.key(self.bridge),))
        )

    def _user(self, which: str) -> Identifier:
        return named("user_id", f"u-{self.number}-{which}")

    def _customer(self, place: int) -> tuple[Link, ...]:
        return person(self.number * _ROOM + place)


def split(place: Place, scale: float) -> Iterator[Figure]:
    """Entities of 10,000 identifiers that fall apart in one call, and of 100,000 that need several."""
    with Wiring(place.settings("split")) as parts:
        yield from _in_one_call(parts, min(scale, 1))
    with Wiring(place.settings("split-large")) as parts:
        yield from _in_several(parts, min(scale, 1))


def _in_one_call(parts: Wiring, scale: float) -> Iterator[Figure]:
    number, customers = max(1, round(_ENTITIES * scale)), _customers(_ONE_CALL * scale)
    kinds = [(way, in_two) for way in _BRIDGE_TYPES for in_two in (True, False)]
    groups = {
        kind: [Joined(1 + n * len(kinds) + at, customers, *kind) for n in range(number)]
        for at, kind in enumerate(kinds)
    }
    feed = _filled(parts, [one for group in groups.values() for one in group])
    with beside(parts.settings, "beside", _bystanders()) as stream:
        waits = _Waits(stream, parts, feed, max(_SPAN_S * scale, _SHORTEST_S))
        for (way, in_two), group in groups.items():
            took = [waits.split(one) for one in group]
            into = "two parts" if in_two else f"{customers:,} parts"
            what = f"{way} of what joins {IDENTIFIERS_EACH * customers:,} identifiers, into {into}"
            yield Figure("split", what, middle(took), "ms", at_most=50)
            yield Figure("split", "the quickest of them", min(took), "ms")
    yield from waits.figures("in the second of such a split")


def _in_several(parts: Wiring, scale: float) -> Iterator[Figure]:
    number, customers = max(1, round(_LARGE_ENTITIES * scale)), _customers(_LARGE * scale)
    group = [Joined(1 + n, customers, "quarantine", in_two=True) for n in range(2 * number)]
    feed = _filled(parts, group)
    what = f"quarantine of what joins {IDENTIFIERS_EACH * customers:,}"
    for those, touched, which in (
        (group[:number], _bystanders(), "a stream about others"),
        (group[number:], _one_in_ten(group[number:]), "one event in ten about it"),
    ):
        with beside(parts.settings, which.replace(" ", "-"), touched) as stream:
            waits = _Waits(stream, parts, feed, _SHORTEST_S)
            took = [waits.split(one) for one in those]
        yield Figure("split", f"{what} until visible, {which}", middle(took), "ms")
        yield from waits.figures(f"until it is settled, {which}", at_most=250)


def _one_in_ten(joined: list[Joined]) -> list[Identifier]:
    """After each nine addresses of bystanders, one in the midst of an entity that is to come apart."""
    others = _bystanders()
    return [
        one
        for at in range(0, len(others), 9)
        for one in (*others[at : at + 9], joined[at // 9 % len(joined)].email)
    ]


def _customers(identifiers: float) -> int:
    return max(2, int(identifiers) // IDENTIFIERS_EACH)


def _bystanders() -> list[Identifier]:
    return [person(number)[1][2] for number in range(_BYSTANDERS)]


def _filled(parts: Wiring, joined: list[Joined]) -> Feed:
    """Bystanders and these entities are in the store."""
    feed = Feed(parts, "split")
    feed.fill(link for number in range(_BYSTANDERS) for link in person(number))
    feed.fill(link for one in joined for link in one.links())
    return feed


class _Waits:
    """How long the batches of a stream take around splits, and before them."""

    def __init__(self, stream: Beside, parts: Wiring, feed: Feed, span_s: float) -> None:
        self._stream, self._parts, self._feed, self._span_s = stream, parts, feed, span_s
        self._restructuring = parts.restructuring(lambda _: None)
        self._without: list[float] = []
        self._during: list[float] = []

    def split(self, one: Joined) -> float:
        """Milliseconds until it had come apart for everybody."""
        batch = one.end(self._parts, self._feed)
        self._stream.until_on_time()
        self._without += self._watch(lambda: time.sleep(self._span_s))
        visible_ms: list[float] = []
        self._during += self._watch(lambda: visible_ms.append(self._bring_in(one, batch)))
        return visible_ms[0]

    def _watch(self, work: Callable[[], None]) -> list[float]:
        """The stream's batches while this is done, but for a span at least."""
        began = time.monotonic_ns()
        work()
        time.sleep(max(0.0, self._span_s - (time.monotonic_ns() - began) / 1e9))
        return self._stream.during(began, time.monotonic_ns())

    def _bring_in(self, one: Joined, batch: Batch) -> float:
        """Return when nothing is left to be settled, with the milliseconds until it was visible."""
        key, began = self._parts.keyring.key(one.bridge), time.perf_counter()
        self._feed.apply(batch)
        ended = time.perf_counter()
        while self._parts.store.standing(key).state == "in":  # it was left to bounded calls
            _look_again(began)
            ended = time.perf_counter()
        while self._restructuring.is_due():
            _look_again(began)
        return (ended - began) * 1e3

    def figures(self, when: str, at_most: float | None = None) -> Iterator[Figure]:
        """What the stream saw of it."""
        yield Figure(
            "split", "the stream beside it: p99 of a batch before", quantile(self._without, 0.99), "ms"
        )
        yield Figure("split", f"p99 {when}", quantile(self._during, 0.99), "ms", at_most=at_most)
        yield Figure("split", f"slowest batch {when}", max(self._during), "ms")


def _look_again(began: float) -> None:
    assert time.perf_counter() < began + _PATIENCE_S, "what was left to bounded calls is not settled"
    time.sleep(_LOOK_S)
