"""Many lives at once, as one stream in the order in which things happen, without any fault.

The profile says how many records in a hundred bring a *new link*, that is, name a set of identifiers that no
record named before; the others repeat what is known. A new link comes from the next step of a life under way
or, when everybody's life is told, from a customer whose cookies were cleared. Whose turn it is, is left to
chance.

Memory is bounded: lives under way, a ring of customers whose life is over and who still come back, no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic_core import to_json

from demo_producer.calls import Call, Format
from demo_producer.chance import Chance
from demo_producer.customers import Customer, customer
from demo_producer.lives import FULL_STORY, LIVES, Action, Life, has_account, life_of, signed_in
from demo_producer.moments import Moment
from demo_producer.record import FORMAT_HEADER, Record
from demo_producer.segment import TRANSIT_MS, borrow
from demo_producer.shared import SharedDevices

Profile = Literal["story", "steady", "growth"]
NEW_LINKS: dict[Profile, float] = {"story": 0.35, "steady": 0.05, "growth": 2 / 3}  # per record
SPAN_MS = 90 * 24 * 3_600_000  # a stream tells of 90 days, however many records it has
_UNDER_WAY = 500  # lives under way at once, at most; fewer in a short stream, so that lives end in it
_REMEMBERED = 4_000  # customers who still come back when their life is over
_HEADERS = {name: ((FORMAT_HEADER, name.encode()),) for name in ("segment", "stripe")}


@dataclass(slots=True)
class _Guest:
    """A customer who has come, how many steps of their life they have done, and their extra devices."""

    customer: Customer
    life: Life
    done: int = 0
    extra_devices: int = 0


class Stories:
    """All lives of a seed under way; `next_record` lets one thing happen.

    `shared_within` is how many of the records are sure to be asked for: devices are shared within them.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        start_ms: int,
        *,
        profile: Profile = "story",
        customers: int | None = None,
        formats: frozenset[Format] = frozenset({"segment", "stripe"}),
        shared_within: int = 0,
    ) -> None:
        self._seed = seed
        self._chance = Chance("stories", seed)
        self._start_ms = start_ms
        self._gap_ms = SPAN_MS / max(count, 1)
        self._moment = Moment(start_ms, self._chance)
        self._told = 0
        self._new_links = NEW_LINKS[profile]
        self._customers = customers
        self._born = 0
        self._lives = tuple(life for each in LIVES if (life := each.within(formats)).steps)
        self._under_way_limit = max(2, min(_UNDER_WAY, int(count * self._new_links / 30)))
        self._under_way: list[_Guest] = []
        self._over: list[_Guest] = []  # a ring: the oldest gives way
        self._oldest = 0
        self._shared = SharedDevices(seed, shared_within if "segment" in formats else 0)

    def __iter__(self) -> Iterator[Record]:
        while True:
            yield self.next_record()

    def next_record(self) -> Record:
        """The next thing that happens."""
        self._moment.at_ms = self._start_ms + int((self._told + self._chance.share()) * self._gap_ms)
        self._told += 1
        signed_in_elsewhere = self._shared.guest(self._told, self._accounts)
        if signed_in_elsewhere is not None:
            return self._borrowed(*signed_in_elsewhere)
        if self._chance.share() < self._new_links or self._told == 1:
            return self._something_new()
        return self._something_known()

    def _borrowed(self, somebody: Customer, device: str) -> Record:
        call = borrow(somebody, self._moment, device)
        return self._record(somebody, call)._replace(shared=device)

    def _accounts(self) -> list[Customer]:
        """The customers whose life is told and who have an account, those with most to tell first."""
        guests = [guest for guest in self._over if has_account(guest.life)]
        guests.sort(key=lambda guest: guest.life.name != FULL_STORY.name)
        return [guest.customer for guest in guests]

    def _something_new(self) -> Record:
        place = self._chance.below(self._under_way_limit)
        if place >= len(self._under_way):
            if self._customers is None or self._born < self._customers:
                place = self._welcome()
            elif self._under_way:
                place %= len(self._under_way)
            else:
                return self._cleared_cookies()
        return self._step(place)

    def _welcome(self) -> int:
        newcomer = customer(self._seed, self._born)
        self._born += 1
        self._under_way.append(_Guest(newcomer, life_of(newcomer, self._lives)))
        return len(self._under_way) - 1

    def _step(self, place: int) -> Record:
        guest = self._under_way[place]
        step = guest.life.steps[guest.done]
        guest.done += 1
        completes = guest.done == len(guest.life.steps)
        if completes:
            self._under_way[place] = self._under_way[-1]
            self._under_way.pop()
            self._remember(guest)
        return self._record(guest.customer, step.action(guest.customer, self._moment), completes)

    def _remember(self, guest: _Guest) -> None:
        if len(self._over) < _REMEMBERED:
            self._over.append(guest)
        else:
            self._over[self._oldest] = guest
            self._oldest = (self._oldest + 1) % _REMEMBERED

    def _cleared_cookies(self) -> Record:
        for _ in range(20):  # of twenty customers picked by chance, one has an account, or hardly anybody has
            guest = self._chance.one_of(self._over)
            if has_account(guest.life):
                guest.extra_devices += 1
                device = 2 + guest.extra_devices
                return self._record(guest.customer, signed_in(guest.customer, self._moment, device))
        return self._something_known()

    def _something_known(self) -> Record:
        guest = self._somebody()
        return self._record(guest.customer, self._habit(guest)(guest.customer, self._moment))

    def _somebody(self) -> _Guest:
        place = self._chance.below(len(self._under_way) + len(self._over))
        if place < len(self._under_way):
            return self._under_way[place]
        return self._over[place - len(self._under_way)]

    def _habit(self, guest: _Guest) -> Action:
        """Something a guest does again, rather something of late than something of old."""
        step = max(self._chance.below(guest.done), self._chance.below(guest.done))
        return self._chance.one_of(guest.life.steps[step].again)

    def _record(self, somebody: Customer, call: Call, completes: bool = False) -> Record:
        return Record(
            call.format,
            call.key.encode(),
            _HEADERS[call.format],
            to_json(call.payload),
            self._moment.at_ms + TRANSIT_MS,
            None,
            None,
            somebody.number,
            call.company,
            completes,
        )
