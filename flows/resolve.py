"""flows.resolve: from the input to the identity store.

    take ─▶ decode ─▶ bury ─▶ link ─▶ apply ─▶ commit
                        │                │
                        ▼                ▼
                  dead letters      Redis: graph, outbox and offsets in one call

A batch stays together from the reader to the store, because its offsets move with it. Nothing is remembered
here: a batch that is dropped anywhere is read again from where the store stands. An operator event takes the
same way, as a batch of its own: it is decoded to a command, and `apply` carries it out.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from flows.operations import Operations
from flows.reader import Taken
from flows.stopping import Steps, Stop
from resolver.links import Linker
from resolver.rules_change import RulesRefused
from resolver.store import Applied, Batch, Erased, Fenced, Full, OtherRules, Outcome, Retracted, Store
from schemas.dead_letters import DeadLetter
from schemas.decode import decode, format_of
from schemas.errors import BadMessage, SettingsError, TransientError
from schemas.events import Event
from schemas.identifiers import MakeIdentifier, identifier
from schemas.operations import FORMAT, Operation
from sinks.promise import DeadLetterSink

log = logging.getLogger("nexus.resolve")


@dataclass(frozen=True, slots=True)
class Read:
    """A batch after decoding: its events, and what could not be decoded; or one operator event."""

    taken: Taken
    events: tuple[Event, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    operation: Operation | None = None


@dataclass(frozen=True, slots=True)
class Linked:
    """A batch as the store wants it, and what it was made from."""

    read: Read
    batch: Batch

    @property
    def taken(self) -> Taken:
        """What the reader took."""
        return self.read.taken


@dataclass(slots=True)
class Counts:
    """What a run has done so far, for people. Not exact under several threads, and nothing depends on it."""

    messages: int = 0
    events: int = 0
    operations: int = 0
    dead_letters: int = 0
    skipped: int = 0
    transitions: int = 0
    refused: int = 0


def build(intake: DynamicSource[Taken], work: "Work", steps: Steps) -> Dataflow:
    """The flow as Bytewax runs it."""
    flow = Dataflow("nexus_resolve")
    taken = op.input("take", flow, intake)
    read = op.filter_map("decode", taken, steps("decode", work.decode))
    buried = op.filter_map("bury", read, steps("bury", work.bury))
    linked = op.filter_map("link", buried, steps("link", work.link))
    applied = op.filter_map("apply", linked, steps("apply", work.apply))
    committed = op.filter_map("commit", applied, steps("commit", work.commit))
    op.output("done", committed, Nowhere())
    return flow


class Work:
    """What each step of the flow does."""

    def __init__(
        self,
        store: Store,
        linker: Linker,
        dead_letters: DeadLetterSink,
        formats: Mapping[str, str],
        stop: Stop,
        counts: Counts | None = None,
        operations: Operations | None = None,
        make: MakeIdentifier = identifier,
    ) -> None:
        self._store, self._linker, self._dead_letters = store, linker, dead_letters
        self._formats, self._stop, self._operations, self._make = formats, stop, operations, make
        self.counts = counts or Counts()

    def decode(self, taken: Taken) -> Read:
        """Messages to events; what cannot be decoded becomes a dead letter with its reason."""
        if self._operations is not None and taken.moves[0].topic == self._operations.topic:
            return self._decode_operation(taken, self._operations)
        events: list[Event] = []
        dead_letters = []
        for message in taken.messages:
            named = self._formats.get(message.topic)
            decoded = decode(message, named, self._make)
            events += decoded.events
            if decoded.problem is not None:
                problem, format_name = decoded.problem, format_of(message, named)
                dead_letters.append(DeadLetter(message, problem.reason, problem.detail, format_name))
            elif decoded.skipped is not None:
                self.counts.skipped += 1
        self.counts.messages += len(taken.messages)
        self.counts.events += len(events)
        return Read(taken, tuple(events), tuple(dead_letters))

    def _decode_operation(self, taken: Taken, operations: Operations) -> Read:
        """An operator event. Readers hand them over one by one, or none with a bare move."""
        for message in taken.messages:
            try:
                operation = operations.decode(message)
            except BadMessage as problem:
                return Read(taken, (), (DeadLetter(message, problem.reason, problem.detail, FORMAT),))
            if operation is None:  # another namespace's
                self.counts.skipped += 1
                return Read(taken)
            self.counts.operations += 1
            return Read(taken, operation=operation)
        return Read(taken)

    def bury(self, read: Read) -> Read | None:
        """Dead letters are durable before the offsets move, so none is lost; a crash in between repeats
        them.
        """
        if read.dead_letters:
            if not self._stop.persist("dead letters", lambda: self._dead_letters.write(read.dead_letters)):
                return None
            self.counts.dead_letters += len(read.dead_letters)
        return read

    def link(self, read: Read) -> Linked:
        """Events to the links they are evidence of, in log order; an operator event to its command."""
        return Linked(read, self._batch(read))

    def _batch(self, read: Read) -> Batch:
        linker, command = self._linker, None  # another thread may take other rules meanwhile
        if read.operation is not None and self._operations is not None and read.operation.rules is None:
            (message,) = read.taken.messages
            command = self._operations.command(read.operation, message.ingested_at_ms, linker.living)
        learned = linker.batch(read.events)
        return Batch(
            read.taken.moves,
            learned.evidence,
            command,
            linker.rules.version,
            learned.facts,
            learned.recent,
            learned.retracted,
        )

    def apply(self, linked: Linked) -> Linked | None:
        """The one atomic call. A refusal is ordinary: drop the batch and go on where the store stands."""
        outcome: list[Applied | Fenced] = []
        if not self._stop.persist("the store", lambda: self._try(linked, outcome)):
            return None
        if isinstance(outcome[0], Fenced):
            self.counts.refused += 1
            log.info("a batch was refused: another worker is ahead; going on where the store stands")
            linked.taken.reader.reposition(linked.taken, outcome[0].offsets)
            return None
        self.counts.transitions += outcome[0].transitions
        return linked

    def all_steps(self, taken: Taken) -> bool:
        """One batch through all steps, outside a flow; whether it is in."""
        read = self.bury(self.decode(taken))
        applied = None if read is None else self.apply(self.link(read))
        return applied is not None and self.commit(applied) is not None

    def _try(self, linked: Linked, outcome: list[Applied | Fenced]) -> None:
        answer = self._send(linked.read, linked.batch)
        while isinstance(answer, Erased | Retracted | OtherRules):
            if isinstance(answer, Erased):
                self._linker.learn(answer.positions)
            elif isinstance(answer, Retracted):
                self._linker.leave_out(self._store.retracted())
            else:
                self._take_rules(answer)
            answer = self._send(linked.read, self._batch(linked.read))
        match answer:
            case Full():
                linked.taken.reader.keep_alive()
                raise OutboxFull(f"the outbox holds {answer.waiting} transitions that are not published")
            case Applied() | Fenced():
                outcome.append(answer)

    def _send(self, read: Read, batch: Batch) -> Outcome:
        rules = read.operation.rules if read.operation is not None else None
        if rules is None or read.operation is None:
            return self._store.apply(batch)
        (message,), (move,) = read.taken.messages, read.taken.moves
        position = read.operation.position(message.ingested_at_ms)
        try:
            return self._store.enact(move, rules, position)
        except RulesRefused as refusal:
            log.error("the rules of operation %s are not taken: %s", read.operation.operation_id, refusal)
            return self._store.apply(batch)

    def _take_rules(self, other: OtherRules) -> None:
        """Go on under the rules in force, where an operator event brought them."""
        if not self._store.take_rules():
            raise SettingsError(
                f"the rules in force have version {other.version}, the settings have others: bring them "
                "into force with `nexus rules apply`, or correct the settings"
            )
        self._linker = self._linker.under(self._store.rules)

    def commit(self, linked: Linked) -> Linked:
        """Tells the consumer group how far the store is."""
        linked.taken.reader.commit(linked.taken.moves)
        return linked


class OutboxFull(TransientError):
    """The outbox has no room until the publisher has published."""


class Nowhere(DynamicSink[object]):
    """Where batches end that are done."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_NowherePartition":
        """Nothing is kept."""
        return _NowherePartition()


class _NowherePartition(StatelessSinkPartition[object]):
    def write_batch(self, items: list[object]) -> None:
        """Nothing is kept."""
