"""What happened in a run, as a person would tell it: from its logs, and from them alone.

The transitions log says who became one with whom, and names the event that caused it. The input log has
that event, and so the reason. The dead letters have the rest.
"""

import re
import shlex
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from flows.lives import Life, Lives, Meeting, Name, meetings, named
from flows.wiring import Wiring
from schemas.dead_letters import DeadLetter
from schemas.decode import decode
from schemas.events import Event, Participant, log_position
from schemas.identifiers import Identifier
from schemas.instants import parse_instant
from schemas.operations import SOURCE as OPERATOR
from schemas.records import decode_record
from schemas.rules import Rules
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    NamedIdentifier,
    QuarantineReason,
    from_json,
)
from sinks.jsonl import read_dead_letter
from sinks.segments import Line, SegmentedLog

_MOST_PARTINGS: Final = 8
_SHOWN_VALUE: Final = 44
_UUID: Final = re.compile(r"([0-9a-f]{8})-[0-9a-f]{4}-.*")


class Witness:
    """One reading of the input log: how much there was, the events that the story needs, and the junk."""

    def __init__(self, log: SegmentedLog, rules: Rules, wanted: set[bytes], home: dict[Name, str]) -> None:
        self._rules, self._wanted, self._home = rules, wanted, home
        self.messages = self.events = 0
        self.found: dict[bytes, Event] = {}
        self.junk: Counter[Identifier] = Counter()
        self.glued: defaultdict[Identifier, set[str]] = defaultdict(set)
        self._seen: set[int] = set()
        for line in _lines(log):
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

    def _look_for_junk(self, participant: Participant) -> None:
        junk = [one for one in participant.identifiers if self.blocked(one) is not None]
        for one in junk:
            self.junk[one] += 1
            others = (other for other in participant.identifiers if other not in junk)
            self.glued[one].update(self._home[_name(other)] for other in others if _name(other) in self._home)


def tell(parts: Wiring, verdict: Iterable[str]) -> Iterator[str]:
    """The story of a namespace, line by line. `verdict` closes its first part."""
    lives = Lives(
        change
        for line in _lines(parts.log("transitions"))
        if isinstance(change := from_json(line.data), Change)
    )
    home = {name: entity for entity, life in lives.now.items() for name in life.names}
    chosen = lives.protagonist()
    shown = [*(chosen[1].changes if chosen else ()), *_partings(lives)]
    wanted = {_position(one.cause) for one in shown}
    witness = Witness(parts.log("input"), parts.settings.rules, wanted, home)
    letters = [read_dead_letter(line.data) for line in _lines(parts.log("dead-letters"))]
    yield from _how_many(witness, lives, letters)
    for sentence in verdict:
        yield from _wrapped(sentence.split(" "), " ")
    if chosen is None:
        yield from ("", "Nobody merged with anybody: so few events tell too little. Try a larger --count.")
    else:
        yield from _one_merge(chosen[1], witness)
        yield from _one_life(*chosen, witness)
    yield from _came_apart(lives, witness)
    yield from _dead(letters)
    yield from _junk(witness)
    yield from _next(parts, chosen[0] if chosen else None, chosen[1] if chosen else None)


# the chapters


def _how_many(witness: Witness, lives: Lives, letters: Sequence[DeadLetter]) -> Iterator[str]:
    persons = sum(name.startswith("per_") for name in lives.now)
    yield from _heading("What became of them")
    yield f"  {witness.messages:>9,} messages came in, late, shuffled and twice, as messages do"
    yield f"  {len(letters):>9,} of them could not be read: dead letters"
    yield f"  {witness.repeated:>9,} events had come before, and changed nothing"
    yield f"  {sum(len(life.names) for life in lives.now.values()):>9,} identifiers were named by the rest"
    yield f"  {persons:>9,} persons, and {len(lives.now) - persons:,} companies, are behind them"
    yield f"  {lives.merges:>9,} times two of them turned out to be one"
    if lives.quarantined:
        yield f"  {len(lives.quarantined):>9,} identifiers turned out to be shared, and name nobody any more"
    if lives.splits:
        apart = len({(one.entity_id, one.cause) for one in lives.splits})
        yield f"  {apart:>9,} times one of them came apart again"
    yield ""


def _one_merge(life: Life, witness: Witness) -> Iterator[str]:
    meeting = max(meetings(life), key=_drama)
    merge = meeting.merge
    event = witness.found.get(_position(merge.cause))
    yield from _heading("One merge, as it happened")
    yield f"  Until {_minute(merge.cause)} these were two persons:"
    yield from _person(merge.entity_id, meeting.survivor)
    yield from _person(merge.absorbed_id, meeting.absorbed)
    if event is None:
        return
    tied = next(_tying(event, meeting, witness), ())
    yield f"  Then {event.source} sent {_called(event)} ({event.event_id}), which names both in one breath:"
    yield from (f"     {one.identifier_type:<20} {_short(one.identifier_value)}" for one in tied)
    yield f"  So they are one. The older id stays: {merge.entity_id}"
    yield f"  The other one leads there, too:      {merge.absorbed_id}"


def _person(entity_id: str, names: Iterable[Name]) -> Iterator[str]:
    yield f"   {entity_id}"
    yield from (f"     {kind:<20} {_short(value)}" for _, kind, value in sorted(names))


def _drama(meeting: Meeting) -> tuple[bool, int, int]:
    """The best merge to show: by an event of the payment system, of two of whom something is known."""
    least, most = sorted((len(meeting.survivor), len(meeting.absorbed)))
    return meeting.merge.cause.source == "stripe", min(least, 3), -most


def _tying(event: Event, meeting: Meeting, witness: Witness) -> Iterator[tuple[Identifier, ...]]:
    """The identifiers of the participant that names somebody of both sides, or of one and something new."""
    for participant in sorted(event.participants, key=lambda one: -len(one.identifiers)):
        names = {_name(one) for one in participant.identifiers}
        if names & meeting.survivor or names & meeting.absorbed:
            yield tuple(one for one in participant.identifiers if witness.blocked(one) is None)


def _one_life(entity_id: str, life: Life, witness: Witness) -> Iterator[str]:
    changes = life.history()
    name = _own_name([witness.found[at] for one in changes if (at := _position(one.cause)) in witness.found])
    yield from _heading(f"The whole history of {name}" if name else "One person's whole history")
    met = {one.merge.number: one.absorbed for one in meetings(life)}
    sentences = ((change.cause, _sentence(change, met.get(change.number, ()))) for change in changes)
    yield from _by_cause(sentences, witness)
    yield f"  Today {entity_id} has {len(life.names)} identifiers from {len(life.sources)} sources."


def _by_cause(sentences: Iterable[tuple[Cause, str]], witness: Witness) -> Iterator[str]:
    """A line each; of several with one cause the first says when it was and by what."""
    before: Cause | None = None
    for cause, sentence in sentences:
        event = witness.found.get(_position(cause))
        when = f"{_minute(cause)}  {_source_and_name(cause, event):<38}"
        yield f"  {when if cause != before else ' ' * len(when)} {sentence}"
        before = cause


def _sentence(change: Change, absorbed: Iterable[Name]) -> str:
    match change:
        case EntityCreated():
            return f"a stranger: {_named(change.identifiers)}"
        case IdentifierAdded():
            return f"+ {_named(named(change))}"
        case EntitiesMerged():
            others = [NamedIdentifier(type=kind, value=value) for _, kind, value in sorted(absorbed)]
            return f"= is also {_named(others)}"
        case EntityRelabelled():
            return "  has another id now: another of its identifiers is the oldest"
        case EntitySplit():
            return f"÷ comes apart: a way of its own goes {_named(change.identifiers)}"
        case IdentifierQuarantined():
            return f"- {_named(named(change))} is taken out: {_reason(change.reason)}"
        case IdentifierReleased():
            return f"+ {_named(named(change))} is back: {_RELEASED[change.reason]}"
        case EntityErased():
            return "x is erased"
    return "x what stood here is erased"


_RELEASED: Final = {
    "released": "an operator released it",
    "unblocked": "an operator unblocked it",
    "rules": "the rules allow it now",
    "erased": "some of those it was shared by are erased",
}


def _reason(reason: QuarantineReason) -> str:
    if reason.kind == "blocked":
        return "an operator blocked it"
    others = "identifiers" if reason.partner_type is None else f"values of {reason.partner_type}"
    return f"seen with more than {reason.limit} {others}"


def _partings(lives: Lives) -> list[EntitySplit | IdentifierQuarantined]:
    """The first few that were taken out, and what came apart: by cause, in order."""
    partings: list[EntitySplit | IdentifierQuarantined] = [*lives.splits, *lives.quarantined.values()]
    return sorted(partings, key=lambda one: one.sequence)[:_MOST_PARTINGS]


def _came_apart(lives: Lives, witness: Witness) -> Iterator[str]:
    shown = _partings(lives)
    if not shown:
        return
    yield from _heading("What was shared, and who came apart")
    yield from _by_cause(((one.cause, _parting(one)) for one in shown), witness)
    more = len(lives.splits) + len(lives.quarantined) - len(shown)
    if more:
        yield f"  and {more:,} more"


def _parting(change: EntitySplit | IdentifierQuarantined) -> str:
    who = f"{change.entity_id[:12]}…"
    if isinstance(change, IdentifierQuarantined):
        return f"{_named(named(change))} leaves {who}: {_reason(change.reason)}"
    return f"{who} is {change.parts} from now on, one of them {_named(change.identifiers)}"


def _named(identifiers: Iterable[NamedIdentifier]) -> str:
    """The first two of some identifiers, and how many more there are."""
    words = [f"{one.type} {_UUID.sub(_beginning, _short(one.value, 34))}" for one in identifiers]
    more = f" and {len(words) - 2} more" if len(words) > 2 else ""
    return ", ".join(words[:2]) + more


def _beginning(uuid: re.Match[str]) -> str:
    return f"{uuid[1]}…"


def _dead(letters: Sequence[DeadLetter]) -> Iterator[str]:
    yield from _heading(f"The dead letters: {len(letters):,}")
    if not letters:
        yield "  None: everything could be read."
        return
    reasons = Counter(letter.reason for letter in letters).most_common()
    yield from _wrapped([f"{reason} {count}" for reason, count in reasons], ", ")
    example = max(letters, key=_instructive)
    yield f"  For example the message at offset {example.message.offset} of the input, kept byte for byte:"
    yield f"     {_excerpt(example.message.value)}"
    yield f"     {example.reason}: {example.detail}"


def _instructive(letter: DeadLetter) -> tuple[bool, int]:
    """A good example is well-formed in part, and short."""
    value = letter.message.value or b""
    return letter.reason == "not-json" and value[:1] == b"<", -len(value)


def _junk(witness: Witness) -> Iterator[str]:
    yield from _heading("Junk that glued nobody")
    if not witness.junk:
        yield "  None came."
        return
    count = sum(witness.junk.values())
    yield f"  {count:,} times an event named what names nobody. Taken at their word, they would have glued:"
    worst = sorted(witness.junk, key=lambda one: (-len(witness.glued[one]), one.encoded))
    for one in worst[:5]:
        named = f"{one.identifier_type} {_short(one.identifier_value)}"
        yield f"  {len(witness.glued[one]):>4} persons by {named:<52} ({witness.blocked(one)})"


def _next(parts: Wiring, entity_id: str | None, life: Life | None) -> Iterator[str]:
    settings, program = parts.settings, _program()
    here = f"--data {shlex.quote(str(settings.data))} --namespace {settings.namespace}"
    yield from _heading("Now you")
    if entity_id is not None and life is not None:
        emails = sorted(value for _, kind, value in life.names if kind == "email") or ["…"]
        yield f"  {program} lookup person email={shlex.quote(emails[0])} {here}"
        yield f"  {program} history {entity_id} {here}"
    yield f"  {program} export person {here}"
    yield f"  {program} replay-dlq --dry-run {here}"
    yield f"  {program} check {here}"
    yield ""


# words


def _heading(text: str) -> Iterator[str]:
    yield ""
    yield click.style(text, bold=True)


def _wrapped(words: Sequence[str], between: str, width: int = 96) -> Iterator[str]:
    """The words in lines of at most `width`, each two spaces in."""
    line = f"  {words[0]}"
    for word in words[1:]:
        if len(line) + len(between) + len(word) > width:
            yield f"{line}{between}".rstrip()
            line = f"  {word}"
        else:
            line += between + word
    yield line


def _called(event: Event) -> str:
    return f"“{event.event_name}”"


def _source_and_name(cause: Cause, event: Event | None) -> str:
    if cause.source == OPERATOR:
        return "an operator"
    return f"{cause.source:<8} {event.event_name if event else cause.event_id}"


def _minute(cause: Cause) -> str:
    return cause.ingested_at[:16].replace("T", " ")


def _short(value: str, most: int = _SHOWN_VALUE) -> str:
    return value if len(value) <= most else f"{value[: most - 1]}…"


def _excerpt(value: bytes | None, most: int = 88) -> str:
    """The beginning of a payload, harmless on any terminal."""
    if value is None:
        return "(no value at all)"
    return _short(value[: 4 * most].decode("utf-8", "replace").encode("unicode_escape").decode(), most)


def _own_name(events: Iterable[Event]) -> str | None:
    """What a person is called, by the last event that says so."""
    names = [
        str(participant.traits["name"])
        for event in events
        for participant in event.participants
        if participant.entity_type == "person" and participant.traits.get("name")
    ]
    return names[-1] if names else None


def _program() -> str:
    """How this program was called, so that what it says can be pasted."""
    called = Path(sys.argv[0])
    if called.name != "nexus":
        return "nexus" if shutil.which("nexus") else "python -m flows"
    found = shutil.which("nexus")
    return "nexus" if found and Path(found).resolve() == called.resolve() else str(called)


# reading


def _lines(log: SegmentedLog) -> Iterator[Line]:
    offset = log.first()
    while lines := log.read(offset, 1_000, 4 << 20):
        yield from lines
        offset = lines[-1].next_offset


def _name(one: Identifier) -> Name:
    return one.entity_type, one.identifier_type, one.identifier_value


def _position(cause: Cause) -> bytes:
    return log_position(parse_instant(cause.ingested_at, "ingested_at"), cause.source, cause.event_id)
