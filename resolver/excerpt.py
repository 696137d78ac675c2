"""As much of the event log as the answer about a few identifiers takes, and that answer, by the reference.

The rules act on what hangs together. So whoever asks about somebody need not resolve everybody:

1. *Widen.* The links that name an identifier say whether a guard takes it out: its partners are in them, all
   of them. If it is in the graph, what they name is looked at likewise, and so is what operators put together
   with it and what is one with it by definition; suspended links lead further as well, since they are judged
   together. An identifier that is out of the graph leads nowhere.
2. *Read* the events that name somebody who was found, for what they say, and widen by those whose memberships
   they speak of.
3. *Answer.* The reference's own functions, over what was read.

Of what was read and not widened by, nothing is told: it may have other links.
"""

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from resolver.authoritative import Engine, statement
from resolver.facts import Facts, Mention
from resolver.profiles import NOTHING, Origin
from resolver.reconcile import LogInWarehouse, Warehouse
from resolver.reference import Answer, Excess, Reference, Resolution
from resolver.store import Belonging, Command, Cursor, Entity, Member, StoredProfile
from resolver.words import Words, words
from schemas.errors import TerminalError
from schemas.events import Event, EventKey, log_position, parse_position
from schemas.identifiers import Identifier, Keyring, parse_entity_id
from schemas.log_rows import milliseconds
from schemas.rules import Rules
from schemas.synonyms import synonyms

MOST: Final = 100_000
"""Identifiers of which the links are read at most."""
_MADE: Final = ("wanted", "wanted_sets", "wanted_events", "bounds", "retracted")
_NOWHERE: Final = Origin(0, "", "")

Placed: TypeAlias = Mapping[bytes, tuple[Identifier, str]]
"""The entity id of identifiers, by their keys."""


class TooMuch(TerminalError):
    """More would have to be read than was allowed."""


class AskedLog(LogInWarehouse):
    """The event log as those read it who only ask: in tables of their own, which are gone afterwards.

    So whatever else goes on in the warehouse is not disturbed. `bound` comes first.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__(warehouse, f"nexus_asked_{secrets.token_hex(6)}_")
        self._asked: Engine = warehouse.engine

    def bound(self, until_ms: int | None, retracted: Iterable[EventKey], most: int | None = None) -> None:
        """What counts from now on: what came in up to an instant (None: all), and is not retracted; and of
        how many events `newest` may speak.
        """
        self._load("bounds", {"until_at": "instant", "most": "int"}, [(until_ms, most)])
        self._load("retracted", {"source": "text", "event_id": "text"}, sorted(retracted))

    def links(self, keys: Collection[bytes]) -> Iterator[tuple[bytes, Mention]]:
        """Each set of identifiers that names one of these, with its key: as one participant, who was named
        first and last when the set was.
        """
        self._load("wanted", {"identifier_key": "bytes"}, [(key,) for key in sorted(keys)])
        rows = self._asked.rows(self._own(statement(self._asked.dialect, "asked_links")))
        for set_key, of_set in groupby(rows, key=itemgetter(0)):
            listed = list(of_set)
            _, position, last, entity_type, *_ = listed[0]
            named = frozenset(Identifier(entity_type, kind, value) for *_, kind, value in listed)
            ends = (bytes(position), milliseconds(last))
            yield bytes(set_key), Mention(named, *ends, _NOWHERE, "", entity_type, None)

    def copies(self, event: EventKey) -> list[Event]:
        """Everything that came under the key of an event."""
        self._load("retracted", {"source": "text", "event_id": "text"}, [event])
        return list(self.chosen("copies"))

    def newest(self, set_keys: Collection[bytes]) -> Iterator[Event]:
        """The newest events of which a participant is named by one of these sets."""
        self._load("wanted_sets", {"set_key": "bytes"}, [(key,) for key in sorted(set_keys)])
        return self.chosen("newest_events")

    def close(self) -> None:
        """Let the tables go."""
        for name in _MADE:
            self._asked.execute(f"DROP TABLE IF EXISTS {self._prefix}{name}")


@dataclass(slots=True)
class _Variant:
    """One of the answers that are wanted: what entities are made of, and what is said of them. `besides`
    counts in it though the log was told to leave it out.
    """

    besides: Facts
    links: Facts = field(default_factory=Facts)
    said: Facts = field(default_factory=Facts)

    def learn(self, events: Iterable[Event]) -> None:
        """What events say, all of them."""
        for event in events:
            self.said.add(event)


class Excerpt:
    """The answer about some identifiers. `until_ms` and `retracted` are those that the log was bound by.

    With `besides`, events, there are two: `answers` gives the one without them, then the one with them.
    Raises TooMuch for more than `most` identifiers.
    """

    def __init__(
        self,
        log: AskedLog,
        keyring: Keyring,
        rules: Rules,
        commands: Iterable[Command],
        until_ms: int | None = None,
        besides: Sequence[Event] = (),
        most: int = MOST,
    ) -> None:
        self._log, self._keyring, self._rules, self._most = log, keyring, rules, most
        self._words = words(keyring, commands)
        self._until_ms, self._besides = until_ms, besides
        self._left_out = self._words.retracted | {one.key for one in besides}
        with_them = Facts()
        for event in besides:
            with_them.add(event)
        self._variants = [_Variant(Facts())]
        if besides:
            self._variants.append(_Variant(with_them, with_them.copy(), with_them.copy()))
        self._read: set[bytes] = set()
        self._told: set[bytes] = set()

    @property
    def read(self) -> Collection[bytes]:
        """The keys of the identifiers of which everything is known."""
        return self._read

    def widen(self, keys: Iterable[bytes]) -> None:
        """Read the links of these identifiers, and of whoever has a say in what becomes of them."""
        wanted = set(keys) - self._read
        while wanted:
            self._read |= wanted
            if len(self._read) > self._most:
                raise TooMuch(
                    f"more than {self._most:,} identifiers hang together here: too many for a question"
                )
            links = {mention for _, mention in self._log.links(wanted)}
            found: set[bytes] = set()
            for variant in self._variants:
                variant.links.mentions |= links
                found |= self._beyond(wanted, links | variant.besides.mentions)
            wanted = found - self._read

    def _beyond(self, keys: Collection[bytes], mentions: set[Mention]) -> set[bytes]:
        """Whom identifiers lead to that are in the graph; the mentions are all that name one of these."""
        found = self._resolution(Facts(mentions))
        inside = {key for key in keys if key in found.age} - found.blocked - found.quarantined.keys()
        beyond = {other for link in found.links if not inside.isdisjoint(link) for other in link}
        for pair, _ in self._words.standing("together"):
            if not inside.isdisjoint(pair):
                beyond.update(pair)
        same = (other for key in inside for other in synonyms(found.names[key]))
        return beyond | {self._keyring.key(other) for other in same}

    def tell(self, keys: Iterable[bytes]) -> None:
        """Read what is said of these identifiers, and find those whose memberships are spoken of."""
        wanted = set(keys) - self._told
        if not wanted:
            return
        self._told |= wanted
        events = [one for one in self._log.events(wanted) if self._counts(one)]
        for variant in self._variants:
            variant.learn(events)
        self.widen(self._others(wanted))

    def _counts(self, event: Event) -> bool:
        is_in_time = self._until_ms is None or event.ingested_at_ms <= self._until_ms
        return is_in_time and event.key not in self._left_out

    def _others(self, keys: Collection[bytes]) -> set[bytes]:
        """Who is named as the other side of a membership of these."""
        found: set[bytes] = set()
        for variant in self._variants:
            resolution = self._resolution(variant.links)
            for one in variant.said.affiliations:
                sides = [resolution.link(one.person), resolution.link(one.group)]
                for here, there in (sides, sides[::-1]):
                    if not set(here).isdisjoint(keys):
                        found.update(there)
        return found

    def resolution(self) -> Resolution:
        """How it came to the first answer."""
        return self._resolution(self._variants[0].links)

    def placed(self) -> list[Placed]:
        """Who is who, in each of the answers that are wanted, of those of whom everything is known."""
        return [self._placed(self._resolution(one.links)) for one in self._variants]

    def _placed(self, resolution: Resolution) -> Placed:
        entity_of = resolution.answer(0, Facts()).entity_of
        known = ((key, resolution.names[key]) for key in self._read if key in resolution.age)
        return {key: (named, entity_of[named]) for key, named in known if named in entity_of}

    def answers(self, now_ms: int) -> list[Answer]:
        """The answers: right about what was asked, and not about others that happened to be read."""
        return [self._resolution(one.links).answer(now_ms, one.said) for one in self._variants]

    def _resolution(self, facts: Facts) -> Resolution:
        learned = Reference(self._keyring, self._rules, facts, set(self._commands()))
        return Resolution(learned)

    def _commands(self) -> Iterable[Command]:
        """What operators said; what was retracted is left out already."""
        return (one for one in self._words.commands if one.event is None)


class Then(NamedTuple):
    """What was known of an identifier by some instant. `excess`: of one that was quarantined, why. `names`
    are of the groups and persons that memberships are of, by id.
    """

    state: Literal["in", "quarantined", "blocked", "erased", "unnamed"]
    profile: StoredProfile | None = None
    excess: Excess | None = None
    names: Mapping[str, Identifier] = MappingProxyType({})


def known_then(
    log: AskedLog, keyring: Keyring, rules: Rules, asked: Identifier | bytes, until_ms: int, most: int = MOST
) -> Then:
    """The answer of the log as of then: of everything that had come in, under these rules.

    `asked`: who goes by an identifier then, or the key that an id is made from, which answers `erased` for
    ever. Raises TooMuch.
    """
    commands = commands_until(log.commands(), until_ms)
    said = words(keyring, commands)
    key = _key(said, asked, until_ms)
    if key is None:
        return Then("erased")
    log.bound(until_ms, said.retracted)
    excerpt = Excerpt(log, keyring, rules, commands, until_ms, most=most)
    excerpt.widen([key])
    (placed,) = excerpt.placed()
    if key not in placed:
        return _outside(excerpt.resolution(), key)
    name = placed[key][1]
    members = {other: named for other, (named, home) in placed.items() if home == name}
    excerpt.tell(members)
    (answer,) = excerpt.answers(until_ms)
    resolution = excerpt.resolution()
    entity = Entity(
        placed[key][0].entity_type,
        name,
        len(members),
        min(resolution.age[other] for other in members),
        tuple(Member(one.identifier_type, one.identifier_value, other) for other, one in members.items()),
    )
    memberships = sorted(
        (Belonging(*about, *term) for about, term in answer.memberships.items() if name in about[:2]),
        key=lambda one: (one.group_id, one.person_id, one.role or ""),
    )
    profile = answer.profiles.get(name, NOTHING)
    found = StoredProfile(entity, profile, tuple(memberships), True, Cursor(0, 0), until_ms)
    others = {other for one in memberships for other in one[:2]}
    return Then("in", found, None, {one: resolution.names[parse_entity_id(one)[1]] for one in others})


def _key(said: Words, asked: Identifier | bytes, until_ms: int) -> bytes | None:
    """The key that is meant; None where it is erased."""
    if isinstance(asked, bytes):
        return None if asked in said.erasures.positions else asked
    behind_all = log_position(until_ms + 1, "", "")
    return said.erasures.living(said.keyring.key(asked), behind_all)


def _outside(resolution: Resolution, key: bytes) -> Then:
    if key in resolution.blocked:
        return Then("blocked")
    excess = resolution.quarantined.get(key)
    return Then("unnamed") if excess is None else Then("quarantined", excess=excess)


def commands_until(commands: Iterable[Command], until_ms: int | None) -> list[Command]:
    """What operators had said by an instant. What is erased is so at any time: it is gone from the log."""
    found = []
    for one in commands:
        if until_ms is None or parse_position(one.position).ingested_at_ms <= until_ms:
            found.append(one)
        elif one.kind == "erase":
            found.append(replace(one, blocked=()))
    return found
