"""What goes wrong on the way: a stream without fault becomes one with faults, in known shares.

- `duplicates`: a record of a moment ago comes again, the same bytes.
- `late`: a record is overtaken by some hundreds or thousands of younger ones.
- `shuffled`: a record is overtaken by a few younger ones.
- `malformed`: a record that cannot be read; see `demo_producer.malformed` for the kinds. It comes besides the
  good one that it was made from, so nothing true is lost with it.
- `junk`: a well-formed record that names nobody; see `demo_producer.junk`.

No fault changes what happens to the customers: the good records are those of the stream without faults.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from demo_producer.chance import Chance
from demo_producer.junk import junk
from demo_producer.malformed import malformed
from demo_producer.record import Record
from schemas.errors import SettingsError

USUAL: Mapping[str, float] = {
    "duplicates": 5.0,
    "late": 2.0,
    "shuffled": 10.0,
    "malformed": 1.0,
    "junk": 1.0,
}
_REMEMBERED = 1_000  # records that may come again
_LATE = 3_000  # younger records that overtake a late one, at most; at least 50 in a long stream
_SHUFFLED = 20  # the same for a shuffled one, at least one


@dataclass(frozen=True, slots=True)
class Faults:
    """How many records in a hundred have each fault. SettingsError where that cannot be."""

    duplicates: float = 0.0
    late: float = 0.0
    shuffled: float = 0.0
    malformed: float = 0.0
    junk: float = 0.0

    def __post_init__(self) -> None:
        shares = [getattr(self, field.name) for field in fields(self)]
        if min(shares) < 0 or not sum(shares) <= 90:  # something good must be left; `not` refuses nan, too
            raise SettingsError("faults: each share must be 0 or more, and all together at most 90 percent")

    @property
    def good(self) -> float:
        """How many records in a hundred are good ones that come for the first time, about."""
        return 100 - self.duplicates - self.malformed - self.junk

    @classmethod
    def parse(cls, text: str) -> Faults:
        """From `duplicates,late=3,malformed=0.5`, `all` or `none`; a name alone has its usual share."""
        if text in ("", "none"):
            return cls()
        if text == "all":
            return cls(**dict(USUAL))
        return cls(**dict(map(_fault_and_share, text.split(","))))


def _fault_and_share(part: str) -> tuple[str, float]:
    name, equals, share = part.strip().partition("=")
    if name not in USUAL:
        raise SettingsError(f"faults: unknown fault {name!r}; use {', '.join(USUAL)}, all or none")
    try:
        return name, float(share) if equals else USUAL[name]
    except ValueError:
        raise SettingsError(f"faults: {name} needs a percentage, such as {name}=5") from None


def with_faults(
    source: Iterator[Record], faults: Faults, count: int, seed: int, line_safe: bool = False
) -> Iterator[Record]:
    """`count` records: those of the source, with faults among them.

    `line_safe` leaves out the malformed kinds that cannot stand on a line of their own without headers.
    """
    return iter(_Spoiler(source, faults, count, seed, line_safe))


class _Spoiler:
    """The layer between a source and its reader. At each place of the output one thing happens, by chance.

    Overtaken records wait in a heap until so many younger ones have passed. They wait only while there is
    room for all of them before the end, and at least one younger record passes each.
    """

    def __init__(
        self, source: Iterator[Record], faults: Faults, count: int, seed: int, line_safe: bool
    ) -> None:
        self._source = source
        self._count = count
        self._line_safe = line_safe
        self._chance = Chance("faults", seed)
        overtaken = (faults.late + faults.shuffled) / 100
        added = (faults.malformed + faults.duplicates + faults.junk) / 100
        # What is added gets its roll only at places that no overtaken record fills, what is overtaken only
        # where nothing is added: hence the divisors, without which the shares would be thinned out.
        self._malformed = faults.malformed / 100 / (1 - overtaken)
        self._copied = self._malformed + faults.duplicates / 100 / (1 - overtaken)
        self._junk = self._copied + faults.junk / 100 / (1 - overtaken)
        self._late = faults.late / 100 / (1 - added)
        self._shuffled = self._late + faults.shuffled / 100 / (1 - added)
        self._longest = min(_LATE, max(1, count // 10))
        self._waiting: list[tuple[int, int, Record]] = []  # (due after so many, order of arrival, record)
        self._drawn = 0
        self._passed = 0
        self._recent: list[Record] = []  # a ring
        self._model: Record | None = None  # the latest good record, for what is made from one

    def __iter__(self) -> Iterator[Record]:
        for place in range(self._count):
            yield self._next(self._count - place)

    def _next(self, room: int) -> Record:
        if self._waiting and (self._waiting[0][0] <= self._passed or len(self._waiting) >= room):
            return self._remember(heapq.heappop(self._waiting)[2])
        roll = self._chance.share()
        if roll >= self._junk or self._model is None:
            return self._fresh(room)
        if roll < self._malformed:
            return malformed(self._model, self._chance, line_safe=self._line_safe)
        if roll < self._copied:
            return self._chance.one_of(self._recent)._replace(
                fault="duplicates", kind=None, ingested_at_ms=self._model.ingested_at_ms, completes=False
            )
        return self._remember(junk(self._model, self._chance))

    def _fresh(self, room: int) -> Record:
        while True:
            record = next(self._source)
            self._drawn += 1
            self._model = record
            roll = self._chance.share()
            if roll >= self._shuffled or room <= len(self._waiting) + 1:
                self._passed += 1
                return self._remember(record)
            self._wait(record, late=roll < self._late)

    def _wait(self, record: Record, *, late: bool) -> None:
        if late:
            least = min(50, self._longest)
            record = record._replace(fault="late")
            overtaken_by = least + self._chance.below(self._longest - least + 1)
        else:
            record = record._replace(fault="shuffled")
            overtaken_by = 1 + self._chance.below(_SHUFFLED)
        heapq.heappush(self._waiting, (self._passed + overtaken_by, self._drawn, record))

    def _remember(self, record: Record) -> Record:
        if len(self._recent) < _REMEMBERED:
            self._recent.append(record)
        else:
            self._recent[self._chance.below(_REMEMBERED)] = record
        return record
