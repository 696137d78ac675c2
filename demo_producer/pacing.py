"""How fast the stream goes, and how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from demo_producer.record import Record

_EVERY_S = 0.2  # between two looks at the progress


def paced(
    records: Iterable[Record],
    rate: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Record]:
    """The same records, `rate` a second on average: each waits for its time, and late ones catch up."""
    start = clock()
    for number, record in enumerate(records):
        ahead = start + number / rate - clock()
        if ahead > 0:
            sleep(ahead)
        yield record


def with_progress(records: Iterable[Record], count: int, terminal: TextIO) -> Iterator[Record]:
    """The same records, with a line on the terminal that says how many of `count` have gone and how fast."""
    start = shown = time.monotonic()
    number = 0
    for number, record in enumerate(records, 1):
        yield record
        if number % 64 == 0 and (now := time.monotonic()) - shown >= _EVERY_S:
            shown = now
            _show(terminal, number, count, now - start)
    _show(terminal, number, count, time.monotonic() - start)
    terminal.write("\n")


def _show(terminal: TextIO, number: int, count: int, seconds: float) -> None:
    done = int(20 * number / max(count, 1))
    bar = "█" * done + "░" * (20 - done)
    speed = number / max(seconds, 0.001)
    terminal.write(f"\r{bar} {number:,} of {count:,} records, {speed:,.0f} a second ")
    terminal.flush()
