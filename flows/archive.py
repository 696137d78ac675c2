"""flows.archive: what came in, and what was published, into the event log of the warehouse.

    input, operator events ─▶ gather ─▶ arrange ─▶ load
    transitions            ─▶

It reads what the stream reads, in a consumer group of its own, and the stream never waits for it. Where it
goes on says the event log itself: rows and offsets become visible together (`sinks.warehouse.promise`). So
nothing is remembered here, and a warehouse that is down costs nothing but delay: the topics wait.

What cannot be decoded is passed over: the stream makes dead letters of it. One process archives at a time.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from pydantic import ValidationError

from flows.kafka_reader import Resume
from flows.operations import Operations
from flows.reader import AtEnd, Reader, Taken
from flows.resolve import Nowhere
from flows.stopping import Steps, Stop
from flows.transitions_reader import Published, Transitions
from schemas.decode import decode
from schemas.erased_rows import Ended, redacted_rows
from schemas.erasures import Erasures
from schemas.errors import BadMessage, StartRefused, TransientError
from schemas.events import Message
from schemas.identifiers import Keyring, MakeIdentifier
from schemas.log_rows import LogRows, Rows
from schemas.operations import Operation
from schemas.transitions import Change, EntityErased, from_json
from sinks.warehouse.promise import EventLog, Load, Standing, Step

log = logging.getLogger("nexus.archive")

_MOST_BYTES = 64 << 20  # of messages in one load, however few they are
_FEW = 500  # messages that are still archived when the run is to end: it has to end soon
_TIDY_S = 30.0  # how often the log is tidied while nothing comes
_WAIT_S = 0.1
_OTHERS_S = 5.0  # who waits for a log that another process has, and for the end, waits so long

Offsets: TypeAlias = dict[tuple[str, int], int]


class MakeReader(Protocol):
    """Makes what reads input and operator events, from where `resume` says."""

    def __call__(self, resume: Resume) -> Reader: ...


class MakeEnd(Protocol):
    """Makes what says whether offsets, by topic, have passed the ends that the input has now."""

    def __call__(self, offsets: Callable[[str], Mapping[int, int]]) -> AtEnd: ...


@dataclass(slots=True)
class Opened:
    """The event log while this process has it: how far it is, and which erasures are known. `read`: how far
    everything was read by now, of which some is still to be loaded.
    """

    offsets: Offsets
    topics: dict[str, str]
    erasures: Erasures
    ended: list[Ended]
    read: Offsets

    @classmethod
    def at(cls, standing: Standing, keyring: Keyring) -> "Opened":
        """As it was found."""
        erasures = Erasures(keyring, dict(standing.erased))
        ended = [Ended.of(erasures, one) for one in standing.ended]
        offsets = dict(standing.offsets)
        return cls(offsets, dict(standing.topics), erasures, ended, dict(offsets))

    def of_topic(self, topic: str) -> Mapping[int, int]:
        """The offsets of a topic by partition."""
        return {partition: offset for (name, partition), offset in self.offsets.items() if name == topic}

    def resume(
        self, topic: str, topic_id: str | None, committed: Mapping[int, int | None], from_beginning: bool
    ) -> Mapping[int, int | None]:
        """Where to go on, see `Resume`. A log that was lost is filled again with what is still there."""
        if self.topics.setdefault(topic, topic_id or "") != (topic_id or ""):
            raise StartRefused(
                f"topic {topic} was deleted and created again since it was archived: its offsets mean "
                "nothing now. Keep the event log, and archive the new topic under another namespace"
            )
        found = {partition: self.read.get((topic, partition)) for partition in committed}
        if any(committed[partition] and offset is None for partition, offset in found.items()):
            log.warning("topic %s was archived before, and not into this event log: reading it again", topic)
        return found


@dataclass(slots=True)
class Gathered:
    """What is to be loaded together, into the log as it was opened and no other, and how that moves it."""

    opened: Opened
    taken: list[Taken] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    steps: dict[tuple[str, int], Step] = field(default_factory=dict)
    messages: int = 0
    bytes: int = 0
    since: float = field(default_factory=time.monotonic)

    def add_taken(self, taken: Taken) -> bool:
        """Add what was read of the input; False, and nothing is added, where it does not go on from what was
        read before.
        """
        read = self.opened.read
        if any(move.expected != read.get((move.topic, move.partition)) for move in taken.moves):
            return False
        for move in taken.moves:
            self._step(move.topic, move.partition, move.next)
        self.taken.append(taken)
        self.messages += len(taken.messages)
        self.bytes += sum(len(one.value or b"") for one in taken.messages)
        return True

    def add_published(self, topic: str, published: Sequence[Published]) -> None:
        """Add what was read of the transitions."""
        for one in published:
            self._step(topic, one.partition, one.next_offset)
        self.published += published

    def _step(self, topic: str, partition: int, offset: int) -> None:
        place = topic, partition
        first = self.steps.get(place)
        expected = self.opened.read.get(place) if first is None else first.expected
        self.steps[place] = Step(topic, partition, expected, offset)
        self.opened.read[place] = offset


@dataclass(frozen=True, slots=True)
class Arranged:
    """The rows of a batch, and what they were made from."""

    gathered: Gathered
    load: Load


@dataclass(slots=True)
class Counts:
    """What a run has archived so far, for people."""

    messages: int = 0
    rows: int = 0
    loads: int = 0


def build(source: DynamicSource[Gathered], work: "Work", steps: Steps) -> Dataflow:
    """The flow as Bytewax runs it."""
    flow = Dataflow("nexus_archive")
    gathered = op.input("gather", flow, source)
    arranged = op.filter_map("arrange", gathered, steps("arrange", work.arrange))
    loaded = op.filter_map("load", arranged, steps("load", work.load))
    op.output("done", loaded, Nowhere())
    return flow


class Source(DynamicSource[Gathered]):
    """What is to be archived, as a Bytewax source. The flow runs with one worker."""

    def __init__(self, gatherer: "Gatherer", stop: Stop) -> None:
        self._gatherer, self._stop = gatherer, stop

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_SourcePartition":
        """The one worker's part."""
        return _SourcePartition(self._gatherer, self._stop)


class _SourcePartition(StatelessSourcePartition[Gathered]):
    def __init__(self, gatherer: "Gatherer", stop: Stop) -> None:
        self._gatherer, self._stop = gatherer, stop

    def next_batch(self) -> list[Gathered]:
        """The next batch, when it is due; when the run is to end, what was gathered by then."""
        found: list[Gathered] = []
        is_done: list[bool] = []
        try:
            if self._stop.requested and (rest := self._gatherer.rest()):
                return rest
            if self._stop.requested or not self._stop.persist(
                "what is to be archived", lambda: found.extend(self._gatherer.take())
            ):
                raise StopIteration
            if not found:
                self._stop.persist("its end", lambda: is_done.append(self._gatherer.is_worked_off()))
            if is_done and is_done[-1]:
                raise StopIteration
        except StopIteration:
            raise
        except Exception as error:
            self._stop.fail(error)
            raise StopIteration from error
        return found

    def close(self) -> None:
        """Let another process archive at once."""
        self._gatherer.close()


class Gatherer:
    """Reads all that is to be archived, and says when it is enough for a load: `most` messages, or
    transitions, or `every_s` seconds after the first of them.

    `no_more`: says that nothing more will be published; then it is worked off when everything was read.
    """

    def __init__(
        self,
        event_log: EventLog,
        keyring: Keyring,
        make_reader: MakeReader,
        transitions: Transitions,
        most: int,
        every_s: float,
        make_end: MakeEnd,
        no_more: Callable[[], bool] | None = None,
    ) -> None:
        self._log, self._keyring, self._make_reader = event_log, keyring, make_reader
        self._transitions, self._most, self._every_s = transitions, most, every_s
        self._make_end, self._no_more = make_end, no_more
        self._end: AtEnd | None = None
        self._opened: Opened | None = None
        self._reader: Reader | None = None
        self._gathered: Gathered | None = None
        self._refused_since: float | None = None
        self._next_tidy = 0.0

    def take(self) -> list[Gathered]:
        """What is to be loaded together, once it is due; nothing while another process has the log."""
        if self._opened is None and not self._open():
            time.sleep(_WAIT_S)
            return []
        assert self._opened is not None
        assert self._reader is not None
        gathered = self._gathered = self._gathered or Gathered(self._opened)
        taken = self._reader.take()
        if taken is not None and not gathered.add_taken(taken):
            log.warning("the input goes on elsewhere than it was read: reading it again")
            self.lost()
            return []
        published = self._transitions.read()
        gathered.add_published(self._transitions.topic, published)
        if not gathered.steps:
            self._gathered = None
            self._tidy()
            return []
        if not self._is_due(gathered, is_pause=taken is None and not published):
            return []
        return self.rest()

    def rest(self) -> list[Gathered]:
        """What was gathered, be it due or not."""
        rest, self._gathered = self._gathered, None
        return [rest] if rest is not None and rest.steps else []

    def _is_due(self, gathered: Gathered, *, is_pause: bool) -> bool:
        if is_pause and self._no_more is not None and self._no_more():
            return True
        return (
            gathered.messages >= self._most
            or len(gathered.published) >= self._most
            or gathered.bytes >= _MOST_BYTES
            or time.monotonic() - gathered.since >= self._every_s
        )

    def _open(self) -> bool:
        standing = self._log.open()
        if standing is None:
            self._refused_since = self._refused_since or time.monotonic()
            return False
        self._refused_since = None
        opened = Opened.at(standing, self._keyring)
        topic = self._transitions.topic
        is_other = opened.topics.get(topic, "") not in ("", self._transitions.id())
        opened.topics[topic] = self._transitions.id()
        self._transitions.open({} if is_other else opened.of_topic(topic), 0)
        self._reader = self._make_reader(opened.resume)
        self._opened = opened
        return True

    def _tidy(self) -> None:
        if time.monotonic() > self._next_tidy:
            self.tidied()

    def tidied(self) -> None:
        """Keep the log quick to read. What goes wrong with that can wait."""
        self._next_tidy = time.monotonic() + _TIDY_S
        try:
            self._log.tidy()
        except TransientError as error:
            log.warning("the event log could not be tidied: %s", error)

    def keep_alive(self) -> None:
        """Stay a member of the group while a load has to wait."""
        if self._reader is not None:
            self._reader.keep_alive()

    def done(self, gathered: Gathered) -> None:
        """Tell the groups how far the log is, as advice for who watches the lag."""
        if self._reader is not None:
            for taken in gathered.taken:
                self._reader.commit(taken.moves)
        if gathered.published:
            self._transitions.commit({one.partition: one.next_offset for one in gathered.published})

    def lost(self) -> None:
        """The log is elsewhere than thought: look where, and read on from there."""
        self._gathered = self._opened = None
        self._close_reader()

    def is_worked_off(self) -> bool:
        """Whether everything that is there is in the log; or another process has it, and sees to it."""
        if self._no_more is None or not self._no_more():
            return False
        if self._opened is None:
            return self._refused_since is not None and time.monotonic() - self._refused_since > _OTHERS_S
        if self._end is None:
            self._end = self._make_end(self._offsets)
        return self._gathered is None and self._end() and self._transitions.is_at_end()

    def _offsets(self, topic: str) -> Mapping[int, int]:
        return {} if self._opened is None else self._opened.of_topic(topic)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Let everything go."""
        with contextlib.suppress(TransientError):
            self._close_reader()
        self._transitions.close()
        self._log.close()


class Work:
    """What each step of the flow does."""

    def __init__(
        self,
        event_log: EventLog,
        gatherer: Gatherer,
        operations: Operations,
        formats: Mapping[str, str],
        make: MakeIdentifier,
        namespace: str,
        stop: Stop,
    ) -> None:
        self._log, self._gatherer, self._operations = event_log, gatherer, operations
        self._formats, self._make, self._namespace, self._stop = formats, make, namespace, stop
        self.counts = Counts()

    def arrange(self, gathered: Gathered) -> Arranged | None:
        """The rows of a batch, without what is erased: the erasures of the batch itself are known first.

        None when the run is to end and there is much to do: the next run reads it again.
        """
        opened, rows = gathered.opened, Rows()
        operations, events = self._sorted(gathered)
        known = dict(opened.erasures.positions)
        for message, operation in operations:
            opened.erasures.learn(operation.erased, operation.position(message.ingested_at_ms))
        maker = LogRows(opened.erasures.keyring, opened.erasures)
        for message, operation in operations:
            maker.add_operation(rows, message, operation)
        for number, message in enumerate(events, 1):
            if number % _FEW == 0 and self._stop.requested:
                return None
            decoded = decode(message, self._formats.get(message.topic), self._make)
            maker.add_events(rows, message, decoded.events)
        erased = {
            key: position for key, position in opened.erasures.positions.items() if known.get(key) != position
        }
        ended = self._add_transitions(rows, gathered)
        return Arranged(gathered, Load(rows, tuple(gathered.steps.values()), opened.topics, erased, ended))

    def _sorted(self, gathered: Gathered) -> tuple[list[tuple[Message, Operation]], list[Message]]:
        """Operator events that can be read, and everything else."""
        operations, events = [], []
        for message in (message for taken in gathered.taken for message in taken.messages):
            if message.topic != self._operations.topic:
                events.append(message)
                continue
            with contextlib.suppress(BadMessage):  # the stream makes a dead letter of it
                operation = self._operations.decode(message)
                if operation is not None:
                    operations.append((message, operation))
        return operations, events

    def _add_transitions(self, rows: Rows, gathered: Gathered) -> tuple[EntityErased, ...]:
        opened = gathered.opened
        changes = [one for each in gathered.published if (one := self._change(each)) is not None]
        ended = tuple(one for one in changes if isinstance(one, EntityErased))
        opened.ended += [Ended.of(opened.erasures, one, changes) for one in ended]
        if found := redacted_rows(changes, opened.ended):
            rows["nexus_transitions"] = found
        return ended

    def _change(self, one: Published) -> Change | None:
        """The change in a message; None for a tombstone, the copy for its second entity, what belongs to a
        snapshot and is said elsewhere, what is of another namespace, and what is none.
        """
        if one.data is None:
            return None
        try:
            change = from_json(one.data)
        except ValidationError:
            log.warning("a message among the transitions is none; it is passed over")
            return None
        if not isinstance(change, Change) or change.namespace != self._namespace:
            return None
        return change if one.key in (None, change.entity_id) else None

    def load(self, arranged: Arranged) -> Arranged | None:
        """Rows and offsets into the log, however long it takes."""
        is_in: list[bool] = []
        if not self._stop.persist("the event log", lambda: is_in.append(self._try(arranged.load))):
            return None
        if not is_in[-1]:
            log.info("the event log is elsewhere; reading on from where it stands")
            self._gatherer.lost()
            return None
        opened = arranged.gathered.opened
        for step in arranged.load.steps:
            opened.offsets[step.topic, step.partition] = step.next
        self._gatherer.done(arranged.gathered)
        self.counts.messages += arranged.gathered.messages
        self.counts.rows += sum(map(len, arranged.load.rows.values()))
        self.counts.loads += 1
        self._gatherer.tidied()
        return arranged

    def _try(self, load: Load) -> bool:
        try:
            return self._log.load(load)
        except TransientError:
            self._gatherer.keep_alive()
            raise
