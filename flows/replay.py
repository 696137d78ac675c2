"""`nexus replay-dlq`: dead letters back into the input, as they came, at the instant they first came.

    dead letters ─▶ choose ─▶ send ─▶ settle

It reads behind a cursor of its own: with Kafka the offsets of a consumer group, embedded a file in the data
folder. A letter is *settled* when its message is durable in the input again; the cursor stands at the
oldest one that is not, and carries the settled ones behind it, so what `--reason` or `--limit` leaves out
can be replayed later and what went out is not sent again. A crash between send and settle repeats some
messages, which is harmless: the log is a set.

A message that is still bad becomes a new dead letter at the end, for the next replay; one run never meets
its own.
"""

import base64
import fcntl
import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage

from flows.log_reader import TOPIC
from flows.stopping import Crash
from flows.wiring import Wiring
from schemas.dead_letters import DeadLetter, from_headers, replay_headers
from schemas.errors import BadMessage, BrokerUnavailable, SettingsError, StartRefused, TerminalError
from schemas.events import FORMAT_HEADER, Message
from schemas.records import encode_record
from sinks.jsonl import read_dead_letter
from sinks.kafka import KafkaMessages
from sinks.segments import SegmentedLog

_CHUNK = 200
_CHUNK_BYTES = 8 << 20
_METADATA_CHARACTERS = 4_000  # brokers take 4,096 bytes (offset.metadata.max.bytes)
_ANSWER_S = 10.0
_SILENCE_S = 30.0


class Found(NamedTuple):
    """A line or message of the dead letters. `letter` is None for one that is no dead letter of ours."""

    partition: int
    offset: int
    next_offset: int
    letter: DeadLetter | None


class Ledger:
    """What is settled in one partition. `at`: everything before it is; `beyond`: what is behind it, too."""

    def __init__(self, at: int, settled: Sequence[int] = ()) -> None:
        self._end = at
        self._settled = {offset for offset in settled if offset >= at}
        self._left: dict[int, None] = {}

    def see(self, offset: int, next_offset: int) -> bool:
        """Note what is there, in order; whether it is still to be replayed."""
        self._end = next_offset
        if offset in self._settled:
            return False
        self._left[offset] = None
        return True

    def settle(self, offset: int) -> None:
        """This one is durable in the input."""
        self._left.pop(offset, None)
        self._settled.add(offset)

    @property
    def at(self) -> int:
        """The oldest that is left, else the end of what was seen."""
        return next(iter(self._left), self._end)

    @property
    def beyond(self) -> list[int]:
        """The settled ones from `at` on."""
        at = self.at
        return sorted(offset for offset in self._settled if offset >= at)


class Letters(Protocol):
    """The dead letters of a namespace behind its cursor."""

    ledgers: dict[int, Ledger]

    def read(self) -> Iterator[Found]:
        """Those that are there now, oldest first within a partition, without the settled ones."""

    def save(self) -> None:
        """Make the ledgers durable."""

    def close(self) -> None:
        """Let go of what is open."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which letters, at most how many (None: all), and as which format instead of their own."""

    reasons: tuple[str, ...] = ()
    limit: int | None = None
    format_name: str | None = None


@dataclass(slots=True)
class Report:
    """Counts by reason: what waited, what went back, what the broker would not take. Others: by topic."""

    waiting: Counter[str] = field(default_factory=Counter)
    replayed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    why_refused: str = ""


class Replay:
    """Replays the dead letters of one namespace.

        with Replay(parts) as replay:
            report = replay.run(Choice(reasons=("schema",)))

    Raises StartRefused while another replay of the same data folder runs, and the broker's errors as they
    are.
    """

    def __init__(self, parts: Wiring, crash: Crash | None = None) -> None:
        self._parts, self._crash = parts, crash or Crash()
        self._is_log = parts.settings.source == "log"
        self._open = ExitStack()
        self._topics: dict[str, KafkaMessages] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def run(
        self, choice: Choice, *, is_dry: bool = False, show: Callable[[int], None] = lambda _: None
    ) -> Report:
        """Replay what is chosen, or with `is_dry` only count. `show` is told how many were looked at."""
        letters = self._letters()
        self._open.callback(letters.close)
        report, chunk, size = Report(), [], 0
        for number, found in enumerate(letters.read(), 1):
            show(number)
            if not self._is_chosen(found, choice, report, letters):
                continue
            chunk.append(found)
            size += len((found.letter and found.letter.message.value) or b"")
            if len(chunk) >= _CHUNK or size >= _CHUNK_BYTES:
                self._replay(chunk, choice, is_dry, report, letters)
                chunk, size = [], 0
        self._replay(chunk, choice, is_dry, report, letters)
        return report

    def _letters(self) -> Letters:
        return LogLetters(self._parts) if self._is_log else KafkaLetters(self._parts)

    def _is_chosen(self, found: Found, choice: Choice, report: Report, letters: Letters) -> bool:
        if found.letter is None:
            report.unreadable += 1
            letters.ledgers[found.partition].settle(found.offset)
            return False
        topic, reason = found.letter.message.topic, found.letter.reason
        if topic not in self._inputs:
            report.others[topic] += 1
            return False
        report.waiting[reason] += 1
        if choice.reasons and reason not in choice.reasons:
            return False
        chosen = sum(n for one, n in report.waiting.items() if not choice.reasons or one in choice.reasons)
        return choice.limit is None or chosen <= choice.limit

    @property
    def _inputs(self) -> Sequence[str]:
        control = self._parts.control  # an operator event that this version can read, say
        return (TOPIC, control) if self._is_log else (*self._parts.settings.input.topics, control)

    def _replay(
        self, chunk: Sequence[Found], choice: Choice, is_dry: bool, report: Report, letters: Letters
    ) -> None:
        """Send a chunk and settle what is durable; a dry run does neither."""
        if is_dry:
            report.replayed.update(one.letter.reason for one in chunk if one.letter)
            return
        if chunk:
            for topic in {one.letter.message.topic for one in chunk if one.letter}:
                of_topic = [one for one in chunk if one.letter and one.letter.message.topic == topic]
                self._send(topic, of_topic, choice, report, letters)
            self._crash("after-replay-send")
        letters.save()

    def _send(
        self, topic: str, found: Sequence[Found], choice: Choice, report: Report, letters: Letters
    ) -> None:
        try:
            self._write(topic, [_again(one.letter, choice.format_name) for one in found if one.letter])
        except TerminalError as error:
            if len(found) > 1:  # one that the broker does not take must not hold up the others
                for one in found:
                    self._send(topic, [one], choice, report, letters)
                return
            report.refused.update(one.letter.reason for one in found if one.letter)
            report.why_refused = str(error)
            return
        for one in found:
            letters.ledgers[one.partition].settle(one.offset)
        report.replayed.update(one.letter.reason for one in found if one.letter)

    def _write(self, topic: str, messages: Sequence[Message]) -> None:
        if self._is_log:
            self._parts.log(topic).append([_line(one) for one in messages])
            return
        if topic not in self._topics:
            self._topics[topic] = KafkaMessages(self._parts.producer_config, topic)
            self._open.callback(self._topics[topic].close)
        self._topics[topic].write(messages)


def _again(letter: DeadLetter, format_name: str | None) -> Message:
    """The message as it goes in again."""
    headers = replay_headers(letter)
    if format_name is not None:
        headers = [(name, value) for name, value in headers if name != FORMAT_HEADER]
        headers.append((FORMAT_HEADER, format_name.encode()))
    return replace(letter.message, headers=tuple(headers))


def _line(message: Message) -> bytes:
    return encode_record(
        message.value, ingested_at_ms=message.ingested_at_ms, key=message.key, headers=message.headers
    )


class LogLetters:
    """The embedded log of dead letters, with its cursor in a file beside it."""

    def __init__(self, parts: Wiring) -> None:
        folder = parts.settings.data / parts.settings.namespace
        self._log: SegmentedLog = parts.log("dead-letters")
        self._path = folder / "replay-dlq.json"
        self._lock = (folder / "replay-dlq.lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise StartRefused(
                "another replay-dlq is at work in this data folder: wait until it has ended"
            ) from None
        self.ledgers = {0: self._load()}

    def _load(self) -> Ledger:
        try:
            saved = json.loads(self._path.read_bytes())
            at, settled = int(saved["at"]), [int(offset) for offset in saved["settled"]]
        except FileNotFoundError:
            return Ledger(self._log.first())
        except (ValueError, KeyError, TypeError):
            raise StartRefused(
                f"{self._path} is not what replay-dlq wrote: remove it, and all are replayed again"
            ) from None
        if not self._log.first() <= at <= self._log.end():
            return Ledger(self._log.first())  # the log was removed since, and begins anew
        return Ledger(at, settled)

    def read(self) -> Iterator[Found]:
        """Those that are there now."""
        ledger, end = self.ledgers[0], self._log.end()
        at = ledger.at
        while at < end and (lines := self._log.read(at, _CHUNK, _CHUNK_BYTES)):
            for line in lines:
                if ledger.see(line.offset, line.next_offset):
                    yield Found(0, line.offset, line.next_offset, _read(line.data))
            at = lines[-1].next_offset

    def save(self) -> None:
        """Write the cursor beside the old one, then put it in its place."""
        ledger = self.ledgers[0]
        _write_atomically(self._path, json.dumps({"at": ledger.at, "settled": ledger.beyond}).encode())

    def close(self) -> None:
        """Let another replay run."""
        self._lock.close()


def _read(line: bytes) -> DeadLetter | None:
    try:
        return read_dead_letter(line)
    except BadMessage:
        return None


def _write_atomically(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class KafkaLetters:
    """The topic of dead letters, with its cursor in a consumer group's offsets.

    The settled ones behind the cursor stand in the metadata of the committed offset. If they do not fit,
    the last of them are left out, and would be replayed again.
    """

    def __init__(self, parts: Wiring) -> None:
        self._topic = parts.settings.output.dead_letters
        config: Mapping[str, Any] = {
            **parts.consumer_config,
            "group.id": f"{parts.settings.group_id}-replay-dlq",
            "enable.partition.eof": True,
        }
        try:
            self._consumer = Consumer(dict(config))
        except KafkaException as error:
            raise SettingsError(f"kafka: {error.args[0].str()}; correct it in the settings") from error
        self._ends: dict[int, int] = {}
        self.ledgers: dict[int, Ledger] = {}
        try:
            for committed in self._consumer.committed(self._partitions(), timeout=_ANSWER_S):
                self._position(committed)
        except KafkaException as error:
            self._consumer.close()
            raise _unavailable(error) from error

    def _partitions(self) -> list[TopicPartition]:
        topic = self._consumer.list_topics(timeout=_ANSWER_S).topics.get(
            self._topic
        )  # asked by name it would be made
        return [TopicPartition(self._topic, number) for number in (topic.partitions if topic else ())]

    def _position(self, committed: TopicPartition) -> None:
        if committed.error is not None:
            raise KafkaException(committed.error)
        low, high = self._consumer.get_watermark_offsets(committed, timeout=_ANSWER_S)
        at, settled = committed.offset, _settled(committed.metadata)
        if not low <= at <= high:  # never committed, expired, or the topic was made anew
            at = low
            settled = settled if committed.offset <= high else []
        self.ledgers[committed.partition] = Ledger(at, settled)
        self._ends[committed.partition] = high

    def read(self) -> Iterator[Found]:
        """Those that are there now."""
        unread = {number for number, end in self._ends.items() if self.ledgers[number].at < end}
        self._consumer.assign(
            [TopicPartition(self._topic, number, self.ledgers[number].at) for number in unread]
        )
        while unread:
            one = self._consumer.poll(_SILENCE_S)
            if one is None:
                raise BrokerUnavailable(
                    f"cannot read topic {self._topic}: nothing came for {_SILENCE_S:.0f} s"
                )
            number, offset = one.partition() or 0, one.offset() or 0
            error = one.error()
            if error is not None:
                _raise_unless_end(error)
                unread.discard(number)
            elif offset < self._ends[number] and self.ledgers[number].see(offset, offset + 1):
                yield Found(number, offset, offset + 1, _received(one))
            if error is None and offset + 1 >= self._ends[number]:
                unread.discard(number)

    def save(self) -> None:
        """Commit the cursors, and return when the broker has them."""
        positions = [
            TopicPartition(self._topic, number, ledger.at, _metadata(ledger))
            for number, ledger in self.ledgers.items()
        ]
        try:
            if positions:
                self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()


def _received(one: KafkaMessage) -> DeadLetter | None:
    headers: Any = one.headers() or ()  # as they come in they are a list of pairs
    try:
        return from_headers([(name, content or b"") for name, content in headers], one.key(), one.value())
    except BadMessage:
        return None


def _raise_unless_end(error: KafkaError) -> None:
    if error.code() != KafkaError._PARTITION_EOF and not error.retriable():
        raise BrokerUnavailable(f"cannot read the dead letters: {error.str()}")


def _unavailable(error: KafkaException) -> BrokerUnavailable:
    return BrokerUnavailable(f"cannot read the dead letters: {error.args[0].str()}")


def _metadata(ledger: Ledger) -> str:
    """The settled offsets behind the cursor as text: the distances between the ends of their runs,
    compressed.
    """
    ends = _ends_of_runs(ledger.beyond)
    while True:
        steps = [end - before for before, end in zip([ledger.at, *ends], ends, strict=False)]
        text = base64.b85encode(zlib.compress(json.dumps(steps).encode(), 9)).decode() if steps else ""
        if len(text) <= _METADATA_CHARACTERS:
            return f"{ledger.at}:{text}" if text else ""
        ends = ends[: len(ends) // 4 * 2]


def _settled(metadata: str | None) -> list[int]:
    """The offsets in a text that `_metadata` made; none in any other."""
    at, _, text = (metadata or "").partition(":")
    if not text:
        return []
    try:
        steps = json.loads(zlib.decompress(base64.b85decode(text)))
        ends, end = [], int(at)
        for step in steps:
            end += int(step)
            ends.append(end)
    except (ValueError, TypeError, zlib.error):
        return []
    return [
        offset for first, last in zip(ends[::2], ends[1::2], strict=False) for offset in range(first, last)
    ]


def _ends_of_runs(offsets: Sequence[int]) -> list[int]:
    """`[5, 6, 7, 9]` as `[5, 8, 9, 10]`: where each run begins, and where it has ended."""
    ends: list[int] = []
    for offset in offsets:
        if ends and ends[-1] == offset:
            ends[-1] = offset + 1
        else:
            ends += [offset, offset + 1]
    return ends
