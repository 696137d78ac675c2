"""Ordinary small batches of a second connection, at a steady rate, and how late each of them was done.

A batch is due at an instant that does not depend on how the ones before it went, and counts from then: what
holds up the store for a moment makes everything late that was due meanwhile, as it would for a producer.
"""

import contextlib
import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from multiprocessing.connection import Connection

from flows.bench.filling import Feed, Link, named
from flows.settings import Settings
from flows.settling import Settling
from flows.stopping import Crash, Stop
from flows.wiring import Wiring
from schemas.identifiers import Identifier

EVERY_S = 0.01
_LINKS = 10  # new ones in each batch
_ON_TIME_MS, _PATIENCE_S = 50.0, 10.0
_BEGINS_MS = 1_780_000_000_000
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Beside:
    """The other connection."""

    connection: Connection

    def during(self, began_ns: int, ended_ns: int) -> list[float]:
        """How long each batch took that was due between these instants (`time.monotonic_ns`), in ms."""
        self.connection.send((began_ns, ended_ns))
        found: list[float] | BaseException = self.connection.recv()
        if isinstance(found, BaseException):
            raise found
        return found

    def until_on_time(self) -> None:
        """Wait for the first batches, and for those that are late to be done, but not for ever."""
        gives_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < gives_up:
            began = time.monotonic_ns()
            time.sleep(10 * EVERY_S)
            took = self.during(began, time.monotonic_ns())
            if took and max(took) < _ON_TIME_MS:
                return


@contextlib.contextmanager
def beside(settings: Settings, name: str, touched: Sequence[Identifier]) -> Iterator[Beside]:
    """Batches of new links on these identifiers, in turns, as long as the block runs.

    `name` is for the feed: no other one of the store may have it. The process has what is too large for one
    call settled beside it, as that of `nexus run` does.
    """
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(there, settings, name, tuple(touched)), daemon=True)
    process.start()
    there.close()
    try:
        running = Beside(here)
        running.until_on_time()
        yield running
    finally:
        here.close()
        process.join(30)


def _serve(connection: Connection, settings: Settings, name: str, touched: Sequence[Identifier]) -> None:
    with Wiring(settings) as parts, contextlib.suppress(EOFError, BrokenPipeError):
        settling = Settling(parts.restructuring, Stop(), Crash(), parts.settings_in_force)
        gc.freeze()
        gc.set_threshold(20_000, 10, 50)  # as the process of `nexus run` has it
        try:
            settling.start()
            _run(connection, Feed(parts, name, _BEGINS_MS), _links(name, touched))
        except Exception as error:  # noqa: BLE001 -- raised again where it is asked how the batches went
            connection.send(error)


def _run(connection: Connection, feed: Feed, links: Iterator[Link]) -> None:
    took: list[tuple[int, float]] = []
    asked: tuple[int, int] | None = None
    due = time.monotonic_ns()
    while True:
        batch = feed.batch(feed.evidence(islice(links, _LINKS)))
        while asked is None and connection.poll(max(0.0, (due - time.monotonic_ns()) / 1e9)):
            asked = connection.recv()
        if asked is not None and asked[1] <= due:  # else some that it is about are still to be done
            connection.send([ms for at, ms in took if asked[0] <= at < asked[1]])
            asked = None
        time.sleep(max(0.0, (due - time.monotonic_ns()) / 1e9))
        feed.apply(batch)
        took.append((due, (time.monotonic_ns() - due) / 1e6))
        due += int(EVERY_S * 1e9)


def _links(name: str, touched: Sequence[Identifier]) -> Iterator[Link]:
    for number in count():
        yield touched[number % len(touched)], named("anonymous_id", f"{name}-{number:x}")
