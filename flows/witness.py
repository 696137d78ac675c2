"""The input log, read once for a story: the events that caused what happened, and the junk."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from flows.lives import Name
from schemas.decode import decode
from schemas.events import Event, Participant, log_position
from schemas.identifiers import Identifier
from schemas.instants import parse_instant
from schemas.records import decode_record
from schemas.rules import Rules
from schemas.transitions import Cause
from sinks.segments import Line, SegmentedLog


class Witness:
    """One reading of the input log: how much there was, the events that the story needs, and the junk.

    `wanted`: log positions of events that it needs. `shared`: identifiers of which it needs every event.
    """

    def __init__(
        self,
        log: SegmentedLog,
        rules: Rules,
        wanted: set[bytes],
        home: Mapping[Name, str],
        shared: Collection[Name] = (),
    ) -> None:
        self._rules, self._wanted, self._home, self._shared = rules, wanted, home, shared
        self.messages = self.events = 0
        self.found: dict[bytes, Event] = {}
        self.naming: defaultdict[Name, list[tuple[Event, Participant]]] = defaultdict(list)
        self.junk: Counter[Identifier] = Counter()
        self.glued: defaultdict[Identifier, set[str]] = defaultdict(set)
        self._seen: set[int] = set()
        for line in lines_of(log):
            self.messages += 1
            message = decode_record("input", line.data, line.offset, line.next_offset)
            for event in decode(message, None, rules.identifier).events:
                self._take(event)

    @property
    def repeated(self) -> int:
        """Events that had come before, under the same name from the same source."""
        return self.events - len(self._seen)

    def blocked(self, one: Identifier) -> str | None:
        """Why a value names nobody, or None."""
        return self._rules.blocked(one)

    def _take(self, event: Event) -> None:
        self.events += 1
        self._seen.add(hash((event.source, event.event_id)))  # only counted, so any hash will do
        if event.position in self._wanted:
            self.found[event.position] = event
        for participant in event.participants:
            self._look_for_junk(participant)
            for name in map(name_of, participant.identifiers) if self._shared else ():
                if name in self._shared:
                    self.naming[name].append((event, participant))

    def _look_for_junk(self, participant: Participant) -> None:
        junk = [one for one in participant.identifiers if self.blocked(one) is not None]
        for one in junk:
            self.junk[one] += 1
            others = (other for other in participant.identifiers if other not in junk)
            self.glued[one].update(
                self._home[name_of(other)] for other in others if name_of(other) in self._home
            )


def lines_of(log: SegmentedLog) -> Iterator[Line]:
    """Every line of a log, from its first one."""
    offset = log.first()
    while lines := log.read(offset, 1_000, 4 << 20):
        yield from lines
        offset = lines[-1].next_offset


def name_of(one: Identifier) -> Name:
    """An identifier as the lives name it."""
    return one.entity_type, one.identifier_type, one.identifier_value


def position_of(cause: Cause) -> bytes:
    """The log position of the event that was the cause."""
    return log_position(parse_instant(cause.ingested_at, "ingested_at"), cause.source, cause.event_id)
