"""The chapters about what many share: a person who never was, and one who came apart again.

The transitions tell what was taken out and who came apart, the input who signed in. Why it is so is asked as
anybody would ask: by the client.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.client import Explanation, Nexus
from flows.explaining import why_for_people
from flows.lives import Lives, Name
from flows.witness import Witness, name_of
from flows.words import heading, measure, minute, own_name, short, wrapped
from schemas.events import Event
from schemas.instants import format_instant
from schemas.transitions import EntitySplit, IdentifierQuarantined, QuarantineReason

_MOST_ENDS = 12


@dataclass(frozen=True, slots=True)
class Shared:
    """An identifier that was taken out, as it was told and for what reason, and how many it would glue."""

    name: Name
    told: IdentifierQuarantined
    reason: QuarantineReason
    would_glue: int

    @property
    def words(self) -> str:
        """How it is told."""
        return f"{self.name[1]} {short(self.name[2])}"


@dataclass(frozen=True, slots=True)
class User:
    """Who was seen with a shared identifier: by which name, and the first event that says so."""

    name: Name
    event: Event

    @property
    def called(self) -> str:
        """What people call them."""
        return own_name([self.event]) or asked(self.name)


class Partings:
    """What was shared in a run. Two are told of: what would have glued most, and what one came apart by."""

    def __init__(self, lives: Lives, client: Nexus) -> None:
        self._lives, self._client = lives, client
        shared = list(_shared(lives, client))
        self.worst = max(shared, key=lambda one: one.would_glue, default=None)
        parted = [(one, split) for one in shared for split in lives.splits if _is_by(split, one.told)]
        self.parted = min(parted, key=lambda one: (one[0] is self.worst, one[1].number), default=None)

    @property
    def names(self) -> set[Name]:
        """The identifiers of which the chapters need every event."""
        return {one.name for one in (self.worst, self.parted and self.parted[0]) if one is not None}

    def never_was(self, witness: Witness) -> Iterator[str]:
        """The person that the worst of them would have made, and what keeps two of its parts apart."""
        if self.worst is None:
            return
        users = users_of(self.worst, witness)
        yield from heading("A person who never was")
        yield from wrapped(_would_have(self.worst, users).split(" "), " ")
        if len(users) > 1:
            yield from self._why_not(users[0], users[-1])

    def came_apart(self, witness: Witness) -> Iterator[str]:
        """The one who came apart: when, by what, who they are now, and why."""
        pair = self.pair(witness)
        if self.parted is None or pair is None:
            return
        shared, split = self.parted
        yield from heading("A person who came apart again")
        yield from _signing_in(shared, split, users_of(shared, witness))
        for user in pair:
            entity_id = self._lives.home[user.name]
            yield f"   {entity_id}"
            names = sorted(self._lives.now[entity_id].names)
            yield from (f"     {kind:<20} {short(value)}" for _, kind, value in names)
        yield from self._why_not(*pair)
        yield ""
        yield f"  And why is {pair[0].called} one?"
        yield from _indented(self._why(*self.ends(pair[0].name)))

    def pair(self, witness: Witness) -> tuple[User, User] | None:
        """The first two of those who were one by a shared identifier and are two now."""
        if self.parted is None:
            return None
        home = self._lives.home
        users = [one for one in users_of(self.parted[0], witness) if one.name in home]
        return next(((users[0], one) for one in users if home[one.name] != home[users[0].name]), None)

    def ends(self, name: Name) -> tuple[Name, Name]:
        """An identifier, and that of the same entity which the longest chain leads to."""
        others = sorted(self._lives.now[self._lives.home[name]].names - {name})[:_MOST_ENDS]
        far = max(others, key=lambda one: len(self._why(name, one).why.chain or ()), default=name)
        return name, far

    def _why_not(self, one: User, other: User) -> Iterator[str]:
        yield f"  What keeps {one.called} and {other.called} apart?"
        yield from _indented(self._why(one.name, other.name))

    def _why(self, one: Name, other: Name) -> Explanation:
        return self._client.why(one[0], asked(one), asked(other))


def asked(name: Name) -> str:
    """An identifier as the commands take it."""
    return f"{name[1]}={name[2]}"


def users_of(shared: Shared, witness: Witness) -> list[User]:
    """Who was seen with a shared identifier, of those that its limit counts, oldest first."""
    partner_type = shared.reason.partner_type
    found: dict[Name, Event] = {}
    for event, participant in sorted(witness.naming[shared.name], key=lambda one: one[0].position):
        for one in participant.identifiers:
            counts = partner_type in (None, one.identifier_type) and name_of(one) != shared.name
            if counts and witness.blocked(one) is None:
                found.setdefault(name_of(one), event)
    return [User(name, event) for name, event in found.items()]


def _shared(lives: Lives, client: Nexus) -> Iterator[Shared]:
    for one in client.quarantine("person"):
        told = lives.quarantined.get(name_of(one.identifier))
        if told is not None and one.state == "quarantined":
            yield Shared(name_of(one.identifier), told, one.reason, one.would_glue.entities)


def _is_by(split: EntitySplit, told: IdentifierQuarantined) -> bool:
    return (split.entity_id, split.cause) == (told.entity_id, told.cause)


def _would_have(shared: Shared, users: Sequence[User]) -> str:
    first = f"{len(users):,} customers signed in on one device, {shared.words}."
    second = f"Taken at its word, it would have made one person of {shared.would_glue:,}."
    reason = shared.reason
    if reason.brought_by is None:
        return f"{first} {second}"
    return f"{first} {second} Since {minute(reason.brought_by)} it names nobody: {measure(reason)}."


def _signing_in(shared: Shared, split: EntitySplit, users: Sequence[User]) -> Iterator[str]:
    limit = shared.reason.limit or 0
    for number, user in enumerate(users[: limit + 1]):
        when = format_instant(user.event.ingested_at_ms)[:16].replace("T", " ")
        yield f"  {when}  {user.called} {_does(number, limit, shared, split)}"
    yield f"  The one is {split.parts} again, and each has what is their own:"


def _does(number: int, limit: int, shared: Shared, split: EntitySplit) -> str:
    if number == 0:
        return f"signs in on {shared.words}"
    if number < limit:
        return f"signs in on it, too: as far as anybody knows they are one person, {split.entity_id}"
    return f"is one too many ({measure(shared.reason)}): it is taken out"


def _indented(found: Explanation) -> Iterator[str]:
    return (f"     {line}".rstrip() for line in why_for_people(found))
