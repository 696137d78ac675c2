"""The journey of fifty customers, in ninety days and five sources: Shopify, Segment, Stripe, mail, meetings.

>>> from demo_producer import PARTS, journey
>>> PARTS[5].name, PARTS[5].played_by(seed=1).name, PARTS[5].told
('dormant', 'Samira Borges', 'stays away for 45 days, and comes back')
>>> journey(seed=1)[0].format
'shopify'

`journey` gives what the sources send, in the order in which it comes in: some of it late, some of it twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic_core import to_json

from demo_producer.calls import Call
from demo_producer.chance import Chance
from demo_producer.customers import Customer, customer
from demo_producer.moments import Moment
from demo_producer.parts import DAYS, PARTS, Step, numbers, steps
from demo_producer.production import START, check_start
from demo_producer.record import FORMAT_HEADER, Record
from demo_producer.segment import TRANSIT_MS

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SPAN_MS = DAYS * DAY_MS
_LATE = 0.04  # of what is left to chance
_TWICE = 0.06


def people(seed: int = 1) -> tuple[Customer, ...]:
    """All fifty customers of a journey."""
    return tuple(customer(seed, number) for number in numbers())


def journey(seed: int = 1, start: datetime = START) -> tuple[Record, ...]:
    """All that comes in, in the order in which it does; the same arguments give the same records.

    The journey ends `SPAN_MS` after its start: by then everything has come in, and at that very instant the
    last setup is abandoned. So who wants to watch that starts the journey ninety days and some seconds ago.
    """
    check_start(start)
    start_ms = int(start.timestamp() * 1_000)
    firsts = [record for number in numbers() for record in _life(seed, number, start_ms)]
    chance = Chance("journey", seed, "twice")
    again = [copy for record in firsts if (copy := _again(record, chance, start_ms + SPAN_MS))]
    return tuple(sorted([*firsts, *again], key=_arrival))  # a stable order: equal instants stay as they are


def _arrival(record: Record) -> int:
    return record.ingested_at_ms or 0


def _life(seed: int, number: int, start_ms: int) -> Iterator[Record]:
    somebody, chance = customer(seed, number), Chance("journey", seed, number)
    has_part = any(part.number == number for part in PARTS)
    for step in sorted(steps(seed, number), key=lambda each: (each.day, each.hour)):
        moment = Moment(start_ms + int(step.day * DAY_MS + step.hour * HOUR_MS), chance)
        call = step.deed(somebody, moment)
        days = step.late if has_part else _days_late(step, call, chance)
        yield _record(somebody, call, moment.at_ms + TRANSIT_MS, int(days * DAY_MS))


def _days_late(step: Step, call: Call, chance: Chance) -> float:
    """Up to two for a few. Never a meeting: one that is told of when it is over was never planned ahead."""
    is_spared = call.format == "google_calendar" or step.day >= DAYS - 4
    return 0.0 if is_spared or chance.share() >= _LATE else 2 * chance.share()


def _record(somebody: Customer, call: Call, sent_ms: int, delay_ms: int) -> Record:
    headers = ((FORMAT_HEADER, call.format), *call.headers)
    return Record(
        call.format,
        call.key.encode(),
        tuple((name, value.encode()) for name, value in headers),
        to_json(call.payload),
        sent_ms + delay_ms,
        "late" if delay_ms else None,
        None,
        somebody.number,
    )


def _again(record: Record, chance: Chance, end_ms: int) -> Record | None:
    """The same bytes some time later, or None for most.

    Never a meeting: while it lies ahead, a copy that comes later says that it was planned later.
    """
    is_chosen, wait_ms = chance.share() < _TWICE, int(DAY_MS * chance.share())
    at_ms = _arrival(record) + wait_ms
    if not is_chosen or record.format == "google_calendar" or at_ms >= end_ms - HOUR_MS:
        return None
    return record._replace(ingested_at_ms=at_ms, fault="duplicates")
