"""What the archive may rely on, whichever engine keeps the event log.

Rows and the offsets that they were read at become visible together, or not at all. So the log itself says
where reading goes on, and nobody else has to know. A load names the offsets that it expects to find, as the
stream's batches do: one that was sent again after its answer was lost, and one of a process that was replaced
while it slept, change nothing.

An erasure is carried out by the same load that brings it: from then on no row holds what it covers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from schemas.log_rows import Rows
from schemas.transitions import EntityErased


class Step(NamedTuple):
    """One partition's part of a load: where it was read from, and where reading goes on. None: never read."""

    topic: str
    partition: int
    expected: int | None
    next: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the event log is, and what whoever adds to it has to know.

    `offsets`: where reading goes on, by topic and partition. `topics`: the id of each topic that was read.
    `erased`: every erased identifier key with the log position of its first erasure. `ended`: what was
    published of erasures.
    """

    offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    topics: Mapping[str, str] = field(default_factory=dict)
    erased: Mapping[bytes, bytes] = field(default_factory=dict)
    ended: tuple[EntityErased, ...] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """Rows that belong together with the steps that they cover, and the ids of the topics read.

    The rows hold nothing that an erasure known so far covers, those of this load included. `erased` and
    `ended` are what this load brings of them: the rows that are there already are to be rid of what they
    cover, as `schemas.erased_rows` says.
    """

    rows: Rows
    steps: tuple[Step, ...]
    topics: Mapping[str, str] = field(default_factory=dict)
    erased: Mapping[bytes, bytes] = field(default_factory=dict)
    ended: tuple[EntityErased, ...] = ()


class EventLog(Protocol):
    """The event log of one namespace. One thread uses it.

    What fails in passing raises a TransientError: try the same load again. What a person must mend raises a
    TerminalError.
    """

    def open(self) -> Standing | None:
        """Make what is missing, take hold of the log, and say how far it is; None while another process has
        it. Opening again reads the standing anew.
        """

    def load(self, load: Load) -> bool:
        """Return True when rows and steps are durable and visible. False, and nothing changed, where a step
        expects another offset than there is, unless all of them are where this load leads: then it is in.
        """

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """How far the log is, by topic and partition, without taking hold of it."""

    def tidy(self) -> None:
        """Do some of what keeps the log quick to read, if there is any. Called when time is left."""

    def close(self) -> None:
        """Let go of it. Closing twice is harmless."""


def standing_of(load: Load, offsets: Mapping[tuple[str, int], int]) -> bool | None:
    """Whether the load is in already (True), is the next (None), or another one came before (False)."""
    at = [offsets.get((step.topic, step.partition)) for step in load.steps]
    if all(there == step.expected for there, step in zip(at, load.steps, strict=True)):
        return None
    return all(there == step.next for there, step in zip(at, load.steps, strict=True))
