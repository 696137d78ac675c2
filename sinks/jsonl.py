"""Sinks that are logs in a folder: what takes the topics' place where there is no broker.

A line of the transitions log is the transition's JSON. A line of the dead letters is a record line (see
`schemas.records`) whose headers are those that the dead-letter topic would have: any payload survives it,
byte for byte. Durability and order are the log's (see `sinks.segments`).

A log has no keys and cannot forget a line, so there are no tombstones in it: the line of an `entity_erased`
tells its readers all that they need. What earlier lines say of the erased stays until the log is removed.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas import dead_letters as dead_letter_format
from schemas.dead_letters import DeadLetter
from schemas.records import encode_record, parse_record
from schemas.transitions import Transition, to_json
from sinks.segments import SegmentedLog


class JsonlTransitions:
    """A TransitionSink that is a log in a folder. A batch is there whole once `write` has returned."""

    def __init__(self, log: SegmentedLog) -> None:
        self._log = log

    def write(self, transitions: Sequence[Transition]) -> None:
        """Return when all are on disk. SinkUnavailable if the disk refuses; the log then has none of them."""
        self._log.append([to_json(transition) for transition in transitions])

    def close(self) -> None:
        """The log holds nothing open."""


class JsonlDeadLetters:
    """A DeadLetterSink that is a log in a folder. `read_dead_letter` reads its lines back."""

    def __init__(self, log: SegmentedLog) -> None:
        self._log = log

    def write(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Return when all are on disk. SinkUnavailable if the disk refuses; the log then has none of them."""
        self._log.append([dead_letter_line(dead_letter) for dead_letter in dead_letters])

    def close(self) -> None:
        """The log holds nothing open."""


def dead_letter_line(dead_letter: DeadLetter) -> bytes:
    """The line of a dead letter in its log."""
    message = dead_letter.message
    return encode_record(message.value, key=message.key, headers=dead_letter_format.headers(dead_letter))


def read_dead_letter(line: bytes) -> DeadLetter:
    """The dead letter in a line of the log. BadMessage if the line holds none."""
    record = parse_record(line)
    return dead_letter_format.from_headers(record.headers, record.key, record.value)
