"""From what a source says to an event: the limits, normalising and dropping that all sources share."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.errors import BadMessage, BadValue
from schemas.events import (
    MAX_AHEAD_MS,
    MAX_ID_BYTES,
    MAX_IDENTIFIERS,
    MAX_INSTANT_MS,
    MAX_PARTICIPANTS,
    Decoded,
    Event,
    Json,
    Measurement,
    Membership,
    Message,
    Participant,
    RejectedValue,
    StateFact,
)
from schemas.identifiers import EntityType, Identifier, MakeIdentifier
from schemas.normalise import MAX_VALUE_BYTES

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Draft:
    """A participant as its source names it: identifiers as pairs of type and raw value."""

    entity_type: EntityType
    identifiers: Sequence[tuple[str, str]]
    ref: str | None = None
    role: str | None = None
    traits: Mapping[str, Json] = field(default_factory=dict)


def assemble(
    message: Message,
    make: MakeIdentifier,
    *,
    event_id: str,
    source: str,
    event_name: str,
    event_type: str | None,
    occurred_at_ms: int | None,
    participants: Sequence[Draft],
    memberships: Sequence[Membership] = (),
    states: Sequence[StateFact] = (),
    measurements: Sequence[Measurement] = (),
) -> Event:
    """The event, its identifiers made by `make`, or `BadMessage` where a limit is broken or nobody is left.

    Values without a normal form are rejected, participants left without identifiers are dropped together with
    their memberships and states. Without an `occurred_at_ms` the event counts as of when it was ingested.
    """
    ingested_at_ms = ingestion_instant(message)
    check_text(event_id, "event_id")
    check_text(source, "source")
    check_text(event_name, "event_name")
    _check_optional(event_type, "event_type")
    if memberships or states or measurements:
        _check_facts(memberships, states, measurements)
    if len(participants) > MAX_PARTICIPANTS:
        raise BadMessage("limit", f"participants: more than {MAX_PARTICIPANTS:,}")
    rejected: list[RejectedValue] = []
    drawn = [_participant(draft, make, place, rejected) for place, draft in enumerate(participants)]
    kept = tuple([participant for participant in drawn if participant is not None])
    if not kept:
        raise BadMessage("no-participants", "participants: none is left with an identifier")
    if len(kept) != len(participants) and (memberships or states):
        refs = {participant.ref for participant in kept}
        memberships = [each for each in memberships if each.person in refs and each.group in refs]
        states = [each for each in states if each.of in refs]
    return Event(
        event_id,
        source,
        event_name,
        event_type,
        _clamped(occurred_at_ms, ingested_at_ms),
        ingested_at_ms,
        kept,
        tuple(memberships),
        tuple(states),
        tuple(measurements),
        tuple(rejected),
    )


NOBODY: Final = "no person or group in it"
"""Why a message is skipped that is well-formed and names nobody."""


def assemble_each(items: Json, path: str, one: Callable[[Json], Event | None]) -> Decoded:
    """What a list of them says, made by `one`: the good ones are taken even where others are at fault."""
    if not isinstance(items, list):
        raise BadMessage("schema", f"{path}: not a list")
    events: list[Event] = []
    problem: BadMessage | None = None
    for place, item in enumerate(items):
        try:
            event = one(item)
        except BadMessage as error:
            problem = problem or BadMessage(error.reason, f"{path}.{place}: {error.detail}")
        else:
            events += [event] if event else []
    return Decoded(tuple(events), problem, None if events or problem else NOBODY)


def assemble_one_or_each(record: Json, path: str, one: Callable[[Json], Event | None]) -> Decoded:
    """What a record says, made by `one`; or each of those that it lists under `path`, where it does."""
    if isinstance(record, dict) and path in record:
        return assemble_each(record[path], path, one)
    event = one(record)
    return Decoded((event,)) if event else Decoded((), skipped=NOBODY)


def ingestion_instant(message: Message) -> int:
    """The message's `ingested_at` in ms; `BadMessage` where there is none that a log position can hold."""
    milliseconds = message.ingested_at_ms
    if not 0 <= milliseconds <= MAX_INSTANT_MS:
        raise BadMessage("no-timestamp", "message: its timestamp is missing or impossible")
    return milliseconds


def check_text(text: str, path: str, max_bytes: int = MAX_ID_BYTES) -> None:
    """Refuse an id, a name or a value that is empty, too long in UTF-8, or has control characters."""
    if text.isprintable() and 0 < len(text) * 4 <= max_bytes:
        return  # nearly always
    if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
        raise BadMessage("limit", f"{path}: longer than {max_bytes:,} bytes")
    if _CONTROL.search(text):
        raise BadMessage("schema", f"{path}: has a control character")
    if not text:
        raise BadMessage("schema", f"{path}: is empty")


def _check_optional(text: str | None, path: str, max_bytes: int = MAX_ID_BYTES) -> None:
    if text is not None:
        check_text(text, path, max_bytes)


def _check_facts(
    memberships: Sequence[Membership], states: Sequence[StateFact], measurements: Sequence[Measurement]
) -> None:
    for place, membership in enumerate(memberships):
        _check_optional(membership.role, f"memberships.{place}.role")
    for place, state in enumerate(states):
        check_text(state.state_name, f"states.{place}.state_name")
        _check_optional(state.state_value, f"states.{place}.state_value", MAX_VALUE_BYTES)
    for place, measurement in enumerate(measurements):
        check_text(measurement.name, f"measurements.{place}.name")
        _check_optional(measurement.unit, f"measurements.{place}.unit")


def _participant(
    draft: Draft, make: MakeIdentifier, place: int, rejected: list[RejectedValue]
) -> Participant | None:
    """The draft with its identifiers normalised and distinct; None if none is left."""
    if len(draft.identifiers) > MAX_IDENTIFIERS:
        raise BadMessage("limit", f"participants.{place}.identifiers: more than {MAX_IDENTIFIERS}")
    _check_optional(draft.ref, f"participants.{place}.ref")
    _check_optional(draft.role, f"participants.{place}.role")
    for name in draft.traits:
        check_text(name, f"participants.{place}.traits: a name")
    identifiers = _normalised(draft, make, place, rejected)
    if not identifiers:
        return None
    return Participant(draft.ref, draft.entity_type, draft.role, identifiers, draft.traits)


def _normalised(
    draft: Draft, make: MakeIdentifier, place: int, rejected: list[RejectedValue]
) -> tuple[Identifier, ...]:
    distinct: dict[Identifier, None] = {}
    for identifier_type, raw in draft.identifiers:
        if len(raw) * 4 > MAX_VALUE_BYTES and len(raw.encode()) > MAX_VALUE_BYTES:
            raise BadMessage("limit", f"participants.{place}.identifiers: a value is longer than 1 KiB")
        try:
            distinct[make(draft.entity_type, identifier_type, raw)] = None
        except BadValue as error:
            rejected.append(RejectedValue(draft.ref, draft.entity_type, identifier_type, error.reason))
    return tuple(distinct)


def _clamped(occurred_at_ms: int | None, ingested_at_ms: int) -> int:
    if occurred_at_ms is None or occurred_at_ms > ingested_at_ms + MAX_AHEAD_MS:
        return ingested_at_ms
    return occurred_at_ms
