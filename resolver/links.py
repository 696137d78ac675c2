"""From events to the links they are evidence of, under the guards, ready for one atomic call."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from resolver.packing import Part, pack_member, pack_shape
from resolver.recent import Recent
from resolver.said import Mentioned, Packer
from resolver.store import Command, Evidence, Shape
from schemas.erasures import Erasures
from schemas.events import Event, Participant
from schemas.identifiers import Identifier, Keyring
from schemas.rules import Rules
from schemas.synonyms import PREVIOUS, synonyms

_REMEMBERED = 200_000
_Mentioning: TypeAlias = tuple[Event, list[Mentioned]]


class Learned(NamedTuple):
    """What a batch of events says: the links it is evidence of, what it says of them besides, and what they
    are to remember of the events themselves; how many retracted events it was made without. As `Batch` wants
    them.
    """

    evidence: tuple[Evidence, ...]
    facts: tuple[bytes, ...]
    recent: tuple[bytes, ...]
    retracted: int


class Linker:
    """Turns events into evidence, under one namespace's keys and rules.

    A participant's identifiers that a guard leaves over form a link; a participant left with none forms no
    link, which is no error. What an identifier set looks like to the store is remembered for the last
    200,000 sets, because visitors come back. Of erased identifiers it knows those that the store has told it
    of (`learn`): the store asks about every other one before it takes a link that names it. It passes over
    retracted events that it was told of (`leave_out`): the store takes no batch that was made without knowing
    all of them. `recent_events`: how many events a link remembers.
    """

    def __init__(self, keyring: Keyring, rules: Rules | None = None, recent_events: int = 0) -> None:
        self._keyring, self.rules, self._recent_events = keyring, rules or Rules(), recent_events
        self._erasures = Erasures(keyring)
        self._retracted: frozenset[bytes] = frozenset()
        self._packer = Packer(self.rules)
        self._shape = lru_cache(maxsize=_REMEMBERED)(self._make_shape)
        self._part = lru_cache(maxsize=_REMEMBERED)(self._make_part)

    def under(self, rules: Rules) -> "Linker":
        """The same under other rules. What it was told of erased identifiers goes along."""
        other = Linker(self._keyring, rules, self._recent_events)
        other.learn(self._erasures.positions)
        other.leave_out(self._retracted)
        return other

    def shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        """The link of identifiers that were named together; None when the guards leave none of them."""
        return self._shape(identifiers)

    def _make_shape(self, identifiers: tuple[Identifier, ...]) -> Shape | None:
        parts = [part for one in identifiers if (part := self._part(one)) is not None]
        return self._packed(parts) if parts else None

    def _packed(self, parts: list[Part]) -> Shape:
        parts.sort(key=_key)
        keys = tuple(part.key for part in parts)
        packed = pack_shape(parts[0].identifier.entity_type, parts)
        handle = self._keyring.handle(b"".join(keys))
        return Shape(tuple(part.identifier for part in parts), keys, handle, packed)

    def _make_part(self, identifier: Identifier) -> Part | None:
        """What a link holds of one identifier; None for one that a guard takes out."""
        if self.rules.blocked(identifier) is not None:
            return None
        key = self._keyring.key(identifier)
        if identifier.identifier_type != PREVIOUS:
            return Part(identifier, key, pack_member(key, identifier), b"")
        others = (other for other in synonyms(identifier) if self.rules.blocked(other) is None)
        pairs = b"".join(key + self._keyring.key(other) for other in others)
        return Part(identifier, key, pack_member(key, identifier), pairs)

    def learn(self, erased: Mapping[bytes, bytes]) -> None:
        """Erased identifier keys, each with the log position of its erasure."""
        self._erasures.update(erased)

    def leave_out(self, retracted: frozenset[bytes]) -> None:
        """The handles of all retracted events: they are evidence of nothing, and say nothing."""
        self._retracted = retracted

    def living(self, key: bytes, position: bytes) -> bytes | None:
        """The key that goes by this one at a log position; None where it is erased there."""
        return self._erasures.living(key, position)

    def command(self, command: Command) -> Command | None:
        """An operator event under the keys of today; None when it names what is erased at its position.

        Erasures and retractions name what they found in the store: nothing goes by another key in them.
        """
        if command.kind in ("erase", "retract"):
            return command
        living = self._erasures.living_set(command.keys, command.position)
        return None if living is None else replace(command, keys=living)

    def _living_shape(self, shape: Shape, position: bytes) -> Shape | None:
        """The link under the keys of today; None when it names what is erased at this position."""
        if self._erasures.positions.keys().isdisjoint(shape.keys):
            return shape
        keys = self._erasures.living_set(shape.keys, position)
        if keys is None:
            return None
        named = (self._part(one) for one in shape.identifiers)
        parts = [
            part if key == part.key else Part(part.identifier, key, pack_member(key, part.identifier), b"")
            for part, key in zip(named, keys, strict=True)
            if part is not None
        ]
        return self._packed(parts)

    def batch(self, events: Iterable[Event]) -> Learned:
        """What a batch of events says."""
        retracted = self._retracted  # at once: another thread may be told of more meanwhile
        mentioned = self._mentioned(events, retracted)
        evidence = _evidence(mentioned)
        recent = self._recent(mentioned, evidence)
        return Learned(evidence, self._facts(mentioned), recent, len(retracted))

    def _is_retracted(self, event: Event, retracted: frozenset[bytes]) -> bool:
        return bool(retracted) and self._keyring.event_handle(*event.key) in retracted

    def evidence(self, events: Iterable[Event]) -> tuple[Evidence, ...]:
        """The distinct links of the events, each with its lowest position and last instant, in log order.

        Order: by (log position, link key), which is the order in which the store applies them.
        """
        return _evidence(self._mentioned(events, self._retracted))

    def facts(self, events: Iterable[Event]) -> tuple[bytes, ...]:
        """What the events say of those links besides, packed, in log order."""
        return self._facts(self._mentioned(events, self._retracted))

    def _facts(self, mentioned: Iterable[_Mentioning]) -> tuple[bytes, ...]:
        found: list[bytes] = []
        for event, those in mentioned:
            found += self._packer.messages(event, those)
        return tuple(found)

    def _recent(self, mentioned: Iterable[_Mentioning], evidence: Iterable[Evidence]) -> tuple[bytes, ...]:
        """What each of the links is to remember of the events, packed; nothing if nothing is remembered."""
        if not self._recent_events:
            return ()
        found = Recent(self._recent_events)
        for event, those in mentioned:
            found.add(event, those)
        return tuple([found.message(one.shape.handle) for one in evidence])

    def _mentioned(self, events: Iterable[Event], retracted: frozenset[bytes]) -> list[_Mentioning]:
        """The events in log order, each with its participants that are evidence of a link."""
        found = []
        for event in sorted(events, key=_position):
            if self._is_retracted(event, retracted):
                continue
            shapes = [(one, self._shape_at(one, event.position)) for one in event.participants]
            found.append((event, [Mentioned(one, shape) for one, shape in shapes if shape is not None]))
        return found

    def _shape_at(self, participant: Participant, position: bytes) -> Shape | None:
        """The link that a participant of an event at this position is evidence of."""
        shape = self._shape(participant.identifiers)
        return (
            self._living_shape(shape, position) if shape is not None and self._erasures.positions else shape
        )


def _evidence(mentioned: Iterable[_Mentioning]) -> tuple[Evidence, ...]:
    found: dict[bytes, Evidence] = {}
    for event, those in mentioned:
        position, last_ms = event.position, event.ingested_at_ms
        for _, shape in those:
            known = found.get(shape.handle)
            if known is None:
                found[shape.handle] = Evidence(shape, position, last_ms)
            elif last_ms > known.last_ms or position < known.first:
                found[shape.handle] = Evidence(shape, min(position, known.first), max(last_ms, known.last_ms))
    return tuple(sorted(found.values(), key=_log_order))


def _position(event: Event) -> bytes:
    return event.position


def _key(part: Part) -> bytes:
    return part.key


def _log_order(evidence: Evidence) -> tuple[bytes, tuple[bytes, ...]]:
    return evidence.first, evidence.shape.keys
