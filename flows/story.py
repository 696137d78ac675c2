"""What happened in a run, as a person would tell it: from its logs, and from what anybody can ask.

The transitions log says who became one with whom, and names the event that caused it. The input log has
that event, and so the reason. The dead letters have the rest. What holds today, and why, says the client.
"""

import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from flows.client import Nexus
from flows.lives import Life, Lives, Meeting, Name, meetings, named
from flows.partings import Partings, asked
from flows.settings import Settings
from flows.wiring import Wiring
from flows.witness import Witness, lines_of, name_of, position_of
from flows.words import heading, listed, measure, minute, of_profile, own_name, program, short, wrapped
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.identifiers import Identifier
from schemas.operations import SOURCE as OPERATOR
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
    Redacted,
    from_json,
)
from sinks.jsonl import read_dead_letter


def tell(parts: Wiring, verdict: Iterable[str]) -> Iterator[str]:
    """The story of a namespace, line by line. `verdict` closes its first part."""
    lives = Lives(
        change
        for line in lines_of(parts.log("transitions"))
        if isinstance(change := from_json(line.data), Change)
    )
    with Nexus(parts.settings) as client:
        yield from _chapters(parts, lives, Partings(lives, client), verdict)


def _chapters(parts: Wiring, lives: Lives, partings: Partings, verdict: Iterable[str]) -> Iterator[str]:
    chosen = lives.protagonist()
    wanted = {position_of(one.cause) for one in (chosen[1].changes if chosen else ())}
    witness = Witness(parts.log("input"), parts.settings.rules, wanted, lives.home, partings.names)
    letters = [read_dead_letter(line.data) for line in lines_of(parts.log("dead-letters"))]
    yield from _how_many(witness, lives, letters)
    for sentence in verdict:
        yield from wrapped(sentence.split(" "), " ")
    if chosen is None:
        yield from ("", "Nobody merged with anybody: so few events tell too little. Try a larger --count.")
    else:
        yield from _one_merge(chosen[1], witness)
        yield from _one_life(*chosen, witness)
    yield from partings.came_apart(witness)
    yield from partings.never_was(witness)
    yield from _junk(witness)
    yield from _dead(letters)
    yield from _next(parts.settings, _asking(lives, chosen, partings, witness))


# the chapters


def _how_many(witness: Witness, lives: Lives, letters: Sequence[DeadLetter]) -> Iterator[str]:
    persons = sum(name.startswith("per_") for name in lives.now)
    yield from heading("What became of them")
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
    event = witness.found.get(position_of(merge.cause))
    yield from heading("One merge, as it happened")
    yield f"  Until {minute(merge.cause)} these were two persons:"
    yield from _person(merge.entity_id, meeting.survivor)
    yield from _person(merge.absorbed_id, meeting.absorbed)
    if event is None:
        return
    tied = next(_tying(event, meeting, witness), ())
    yield f"  Then {event.source} sent {_called(event)} ({event.event_id}), which names both in one breath:"
    yield from (f"     {one.identifier_type:<20} {short(one.identifier_value)}" for one in tied)
    yield f"  So they are one. The older id stays: {merge.entity_id}"
    yield f"  The other one leads there, too:      {merge.absorbed_id}"


def _person(entity_id: str, names: Iterable[Name]) -> Iterator[str]:
    yield f"   {entity_id}"
    yield from (f"     {kind:<20} {short(value)}" for _, kind, value in sorted(names))


def _drama(meeting: Meeting) -> tuple[bool, int, int]:
    """The best merge to show: by an event of the payment system, of two of whom something is known."""
    least, most = sorted((len(meeting.survivor), len(meeting.absorbed)))
    return meeting.merge.cause.source == "stripe", min(least, 3), -most


def _tying(event: Event, meeting: Meeting, witness: Witness) -> Iterator[tuple[Identifier, ...]]:
    """The identifiers of the participant that names somebody of both sides, or of one and something new."""
    for participant in sorted(event.participants, key=lambda one: -len(one.identifiers)):
        names = {name_of(one) for one in participant.identifiers}
        if names & meeting.survivor or names & meeting.absorbed:
            yield tuple(one for one in participant.identifiers if witness.blocked(one) is None)


def _one_life(entity_id: str, life: Life, witness: Witness) -> Iterator[str]:
    changes = life.history()
    name = own_name([witness.found[at] for one in changes if (at := position_of(one.cause)) in witness.found])
    yield from heading(f"The whole history of {name}" if name else "One person's whole history")
    met = {one.merge.number: one.absorbed for one in meetings(life)}
    sentences = ((change.cause, _sentence(change, met.get(change.number, ()))) for change in changes)
    yield from _by_cause(sentences, witness)
    yield f"  Today {entity_id} has {len(life.names)} identifiers from {len(life.sources)} sources."


def _by_cause(sentences: Iterable[tuple[Cause, str]], witness: Witness) -> Iterator[str]:
    """A line each; of several with one cause the first says when it was and by what."""
    before: Cause | None = None
    for cause, sentence in sentences:
        event = witness.found.get(position_of(cause))
        when = f"{minute(cause)}  {_source_and_name(cause, event):<38}"
        yield f"  {when if cause != before else ' ' * len(when)} {sentence}"
        before = cause


def _sentence(change: Change, absorbed: Iterable[Name]) -> str:
    match change:
        case EntityCreated():
            return f"a stranger: {listed(change.identifiers)}"
        case IdentifierAdded():
            return f"+ {listed(named(change))}"
        case EntitiesMerged():
            others = [NamedIdentifier(type=kind, value=value) for _, kind, value in sorted(absorbed)]
            return f"= is also {listed(others)}"
        case EntityRelabelled():
            return "  has another id now: another of its identifiers is the oldest"
        case EntitySplit():
            return f"÷ comes apart: a way of its own goes {listed(change.identifiers)}"
        case IdentifierQuarantined():
            return f"- {listed(named(change))} is taken out: {measure(change.reason)}"
        case IdentifierReleased():
            return f"+ {listed(named(change))} is back: {_RELEASED[change.reason]}"
        case EntityErased():
            return "x is erased"
        case Redacted():
            return "x what stood here is erased"
    return f"  {of_profile(change)}"


_RELEASED: Final = {
    "released": "an operator released it",
    "unblocked": "an operator unblocked it",
    "rules": "the rules allow it now",
    "erased": "some of those it was shared by are erased",
}


def _dead(letters: Sequence[DeadLetter]) -> Iterator[str]:
    yield from heading(f"The dead letters: {len(letters):,}")
    if not letters:
        yield "  None: everything could be read."
        return
    reasons = Counter(letter.reason for letter in letters).most_common()
    yield from wrapped([f"{reason} {count}" for reason, count in reasons], ", ")
    example = max(letters, key=_instructive)
    yield f"  For example the message at offset {example.message.offset} of the input, kept byte for byte:"
    yield f"     {_excerpt(example.message.value)}"
    yield f"     {example.reason}: {example.detail}"


def _instructive(letter: DeadLetter) -> tuple[bool, int]:
    """A good example is well-formed in part, and short."""
    value = letter.message.value or b""
    return letter.reason == "not-json" and value[:1] == b"<", -len(value)


def _junk(witness: Witness) -> Iterator[str]:
    yield from heading("Junk that glued nobody")
    if not witness.junk:
        yield "  None came."
        return
    count = sum(witness.junk.values())
    yield f"  {count:,} times an event named what names nobody. Taken at their word, they would have glued:"
    worst = sorted(witness.junk, key=lambda one: (-len(witness.glued[one]), one.encoded))
    for one in worst[:5]:
        named = f"{one.identifier_type} {short(one.identifier_value)}"
        yield f"  {len(witness.glued[one]):>4} persons by {named:<52} ({witness.blocked(one)})"


def _asking(
    lives: Lives, chosen: tuple[str, Life] | None, partings: Partings, witness: Witness
) -> Iterator[Sequence[str]]:
    """Questions about those that the story was about."""
    pair = partings.pair(witness)
    if chosen is not None:
        emails = [one for one in sorted(chosen[1].names) if one[1] == "email"]
        about = emails[0] if emails else min(chosen[1].names)
        yield "lookup", "person", asked(about)
        yield "why", "person", *map(asked, partings.ends(about))
    if pair is not None:
        yield "why", "person", *(asked(one.name) for one in pair)
    if partings.worst is not None:
        yield ("quarantine",)
    if pair is not None:
        yield "history", lives.home[pair[1].name]
    elif chosen is not None:
        yield "history", chosen[0]


def _next(settings: Settings, asking: Iterable[Sequence[str]]) -> Iterator[str]:
    here = f"--data {shlex.quote(str(settings.data))} --namespace {settings.namespace}"
    yield from heading("Now you")
    for words in (*asking, ("export", "person"), ("replay-dlq", "--dry-run"), ("check",)):
        yield f"  {program()} {shlex.join(words)} {here}"
    yield ""


# words


def _called(event: Event) -> str:
    return f"“{event.event_name}”"


def _source_and_name(cause: Cause, event: Event | None) -> str:
    if cause.source == OPERATOR:
        return "an operator"
    return f"{cause.source:<8} {event.event_name if event else cause.event_id}"


def _excerpt(value: bytes | None, most: int = 88) -> str:
    """The beginning of a payload, harmless on any terminal."""
    if value is None:
        return "(no value at all)"
    return short(value[: 4 * most].decode("utf-8", "replace").encode("unicode_escape").decode(), most)
