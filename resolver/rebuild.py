"""Fills an empty store from the event log, so that the stream can go on where the log ends.

The answer is a function of the log, so what the store gives afterwards is what it gave before, ids included.
Nothing of it is published: consumers have it, or get a snapshot, under the new generation that an empty store
begins. Offsets come last. Whoever is killed before that begins again over what is there, which adds nothing
to it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from resolver.links import Linker
from resolver.reconcile import LogInWarehouse
from resolver.redis_store import RedisStore
from resolver.restructure import Restructuring
from resolver.store import Applied, Batch, Command, Cursor, Erased, Full, Move, Outcome, Retracted, Ticked
from schemas.errors import StartRefused, StoreUnavailable
from schemas.events import Event

log = logging.getLogger("nexus.rebuild")

_BATCH: Final = 1_000  # events in a call
_KEPT: Final = 20_000  # transitions that may wait before they are let go of

Show = Callable[[int], None]


def _silent(_: int) -> None:
    """Nobody looks."""


@dataclass(slots=True)
class Rebuild:
    """Fills one namespace's store. `show` is told how many events are in."""

    store: RedisStore
    event_log: LogInWarehouse
    restructuring: Restructuring
    show: Show = _silent
    events: int = 0

    def run(self, places: Mapping[tuple[str, int], int]) -> int:
        """Take in the whole log, then the offsets at which it ends, by topic and partition; how many events.

        Raises StartRefused for a store that has read anything.
        """
        if any(self.store.offsets(topic) for topic, _ in places):
            raise StartRefused(
                "this store is in use: it has read input already. Only an empty one is filled from the event "
                "log; `nexus reconcile` repairs one that is wrong"
            )
        linker = Linker(self.store.keyring, self.store.rules)
        for command in self.event_log.commands(places):
            self._operate(linker, command)
        for batch in _batches(self.event_log.all_events()):
            self._learn(linker, batch)
        self._settle()
        self._tick()
        self._let_go()
        moves = tuple(Move(*place, None, offset) for place, offset in places.items())
        self._apply(lambda: Batch(moves, ()), linker)
        self.store.request_snapshot()
        return self.events

    def _operate(self, linker: Linker, command: Command) -> None:
        self._apply(lambda: Batch((), (), linker.command(command)), linker)

    def _learn(self, linker: Linker, events: Sequence[Event]) -> None:
        def batch() -> Batch:
            said = linker.batch(events)
            return Batch((), said.evidence, facts=said.facts, retracted=said.retracted)

        self._apply(batch, linker)
        self.events += len(events)
        self.show(self.events)

    def _apply(self, batch: Callable[[], Batch], linker: Linker) -> None:
        outcome: Outcome = self.store.apply(batch())
        while not isinstance(outcome, Applied):
            if isinstance(outcome, Erased):
                linker.learn(outcome.positions)
            elif isinstance(outcome, Retracted):
                linker.leave_out(self.store.retracted())
            elif isinstance(outcome, Full):
                self._let_go()
            else:
                raise StoreUnavailable("the store is used by somebody else: stop the stream, then rebuild")
            outcome = self.store.apply(batch())
        if outcome.transitions:
            self._let_go(_KEPT)

    def _let_go(self, most: int = 0) -> None:
        """Let go of what would be published, once more than so much waits."""
        if self.store.waiting() <= most:
            return
        cursor = self.store.cursor()
        while entries := self.store.outbox(cursor, 1_000, 0):
            count = sum(len(entry.transitions) for entry in entries)
            last = entries[-1].transitions[-1]
            end = Cursor(last.generation, last.number)
            if not self.store.advance(cursor, end, count):
                raise StoreUnavailable("somebody publishes from this store: stop it, then rebuild")
            cursor = end

    def _settle(self) -> None:
        while self.restructuring.is_due():
            self.restructuring.run()

    def _tick(self) -> None:
        """Let as much time go by as has: timed states are as of now."""
        while True:
            self._let_go()
            outcome = self.store.tick()
            if isinstance(outcome, Ticked) and not outcome.is_more:
                return


def _batches(events: Iterator[Event]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
