"""Values with very many neighbours: an event that names one costs what any other costs.

Calls with new links on such a value and calls with as many new links elsewhere take turns, AB BA AB, and only
the call is measured: neither reading nor decoding, which both sides share, makes the ratio look better.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

from flows.bench.figures import Figure, middle
from flows.bench.filling import Feed, Link, named, person, publish_nothing
from flows.bench.place import Place
from flows.settings import Settings
from flows.wiring import Wiring
from schemas.identifiers import Identifier

_WARM_UP = 2  # rounds that nobody counts
_ROUNDS = 31
_AT_LARGE, _AT_MOST = (200_000, 500), (1_000_000, 200)  # neighbours, and new links in one call
_LIMIT = 10_000  # the highest that rules allow


@dataclass(frozen=True, slots=True)
class _Hub:
    """A value, the type of its neighbours, and which identifier of a customer is the like of it."""

    what: str
    value: Identifier
    partner_type: str
    place: int

    def links(self) -> Iterator[Link]:
        """Each with a new neighbour."""
        return ((self.value, named(self.partner_type, f"near-{self.place}-{number:x}")) for number in count())

    def others(self) -> Iterator[Link]:
        """The same on an ordinary value, each on another one."""
        for number in count():
            yield person(number)[1][self.place], named(self.partner_type, f"far-{self.place}-{number:x}")


def hub(place: Place, scale: float) -> Iterator[Figure]:
    """New links on values with up to a million neighbours, against new links on ordinary ones."""
    hubs = (
        _Hub("a quarantined device", named("anonymous_id", "kiosk"), "user_id", 0),
        _Hub("an address of one entity", named("email", "office@hub.example"), "anonymous_id", 2),
    )
    yield from _hubs(place.settings("hub"), hubs, scale)
    yield from _below_the_limit(place, scale)


def _hubs(settings: Settings, hubs: tuple[_Hub, ...], scale: float) -> Iterator[Figure]:
    with Wiring(settings) as parts:
        sides = [_Sides(parts, one, scale) for one in hubs]
        for neighbours, each in (_AT_LARGE, _AT_MOST):
            for side in sides:
                side.grow(int(neighbours * scale))
            for side in sides:
                yield from side.figures(each, at_most=2)


def _below_the_limit(place: Place, scale: float) -> Iterator[Figure]:
    """A value that stays within the highest `max_degree` there is: all its partners are listed."""
    rules = {"identifiers": {"email": {"max_degree": _LIMIT}}}
    one = _Hub("an address below max_degree 10,000", named("email", "team@hub.example"), "anonymous_id", 2)
    with Wiring(place.settings("hub-limit", rules=rules)) as parts:
        side = _Sides(parts, one, scale)
        side.grow(int(min(scale, 1) * 0.3 * _LIMIT))
        yield from side.figures(_AT_MOST[1], at_most=None)


class _Sides:
    """A hub in a store, and ordinary customers beside it."""

    def __init__(self, parts: Wiring, one: _Hub, scale: float) -> None:
        self._parts, self._hub, self._neighbours = parts, one, 0
        self._rounds = max(1, int(_ROUNDS * min(scale, 1)))
        self._feed = Feed(parts, f"hub-{one.place}")
        self._near, self._far = one.links(), one.others()
        customers = (self._rounds + _WARM_UP) * (_AT_LARGE[1] + _AT_MOST[1])
        self._feed.fill(link for number in range(customers) for link in person(number))

    def grow(self, neighbours: int) -> None:
        """Until the hub has so many."""
        self._feed.fill(islice(self._near, max(0, neighbours - self._neighbours)))
        self._neighbours = max(neighbours, self._neighbours)

    def figures(self, each: int, at_most: float | None) -> Iterator[Figure]:
        """What calls of so many new links take, here and elsewhere."""
        neighbours, took = self._neighbours, self._took(each)
        what = f"{self._hub.what} with {neighbours:,} neighbours"
        ratio = middle([near / far for near, far in zip(*took, strict=True)])
        yield Figure("hub", f"{each} new links on {what}", ratio, "x", at_most=at_most)
        for side, seconds in zip(("there", "elsewhere"), took, strict=True):
            yield Figure("hub", f"a call of {each} {side}", middle(seconds) * 1e3, "ms")

    def _took(self, each: int) -> tuple[list[float], list[float]]:
        """Seconds of each round, on the hub and elsewhere."""
        near: list[float] = []
        far: list[float] = []
        for number in range(_WARM_UP + self._rounds):
            turns = ((near, self._near), (far, self._far))
            for found, links in turns if number % 2 else reversed(turns):
                seconds = self._call(links, each)
                if number >= _WARM_UP:
                    found.append(seconds)
        self._neighbours += each * (_WARM_UP + self._rounds)
        return near, far

    def _call(self, links: Iterator[Link], each: int) -> float:
        batch = self._feed.batch(self._feed.evidence(islice(links, each)))
        started = time.perf_counter()
        self._feed.apply(batch)
        seconds = time.perf_counter() - started
        publish_nothing(self._parts)
        return seconds
