"""The reference: which identifiers form which entity, under which id. The executable specification.

Plain and obvious on purpose: it keeps what the events named and what operators said, and computes everything
else from it. The stream and the warehouse must give the same answer for the same set, whatever the order,
the batches or the workers.

0. *Retracted.* An event that an operator retracted is left out, with all that its messages say.
1. *Erased.* A participant that names an erased identifier at or below the erasure's position is dropped
   whole. What returns above it is a new identifier, with a key of its own. An operator event that names an
   erased identifier at or below the erasure is void; above it, it is about the new one.
2. *Blocked by rule.* Values that name nobody are taken out; what remains of a participant is a *link*. A link
   keeps the lowest log position that named it, and the last instant.
3. *Blocked by an operator.* The value stays in its links and leaves the graph.
4. *Counted.* The partners of an identifier are the other identifiers in its links; a partner is as old as the
   oldest link that holds both. With more partners of a type than its rule allows the identifier is
   quarantined: it leaves the graph, unless an operator released it. Everything is counted, also what is out
   of the graph.
5. *Judged.* Entities are the connected components of the identifiers in the graph, under the edges that
   `judge` admits: links, what operators put together, and synonyms (the former id of an alias is one with the
   user id and the anonymous id of the same value, where events name those; one that came back after an
   erasure has no synonyms).
6. An identifier is as old as the oldest link that holds it. The entity's id is made from its oldest
   identifier (ties: the smaller identifier key).
7. *Facts* hang on the link of the participant that an event says them of. A link's *anchor* is the identifier
   of highest priority among those that are in the graph (ties: the smaller key); the link's facts are facts
   of the anchor's entity, and wait while there is none. What they say of it is told in `profiles`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

from resolver.facts import Facts, Membership, Mention
from resolver.judge import Conflict, Edge, Partition, judge
from resolver.profiles import Profile
from resolver.store import Command
from resolver.words import words
from schemas.events import Event
from schemas.identifiers import Identifier, Keyring, entity_id
from schemas.rules import Limit, Rules
from schemas.synonyms import synonyms

LinkKey = tuple[bytes, ...]
"""The identifier keys of a link, ascending."""


class LinkFact(NamedTuple):
    """What is kept of a link: its first evidence (a log position, bytes) and its last instant (ms)."""

    first: bytes
    last_ms: int


class Excess(NamedTuple):
    """Why an identifier is quarantined: the limit, and the position that brought one partner too many."""

    position: bytes
    limit: Limit


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer: the entity id of every identifier in the graph, and why the others are not in it."""

    entity_of: Mapping[Identifier, str]
    links: Mapping[LinkKey, LinkFact]
    quarantined: Mapping[bytes, Excess]
    blocked: frozenset[bytes]
    suspended: Mapping[Edge, Conflict]
    profiles: Mapping[str, Profile]
    memberships: Mapping[tuple[str, str, str | None], Membership]

    @property
    def entities(self) -> Mapping[str, frozenset[Identifier]]:
        """The identifiers of every entity id."""
        members: dict[str, set[Identifier]] = defaultdict(set)
        for identifier, name in self.entity_of.items():
            members[name].add(identifier)
        return {name: frozenset(identifiers) for name, identifiers in members.items()}


@dataclass(slots=True)
class Reference:
    """Takes events and operator events in any order, any number of times; answers from the set of them."""

    keyring: Keyring
    rules: Rules = field(default_factory=Rules)
    facts: Facts = field(default_factory=Facts)
    commands: set[Command] = field(default_factory=set)

    def add(self, events: Iterable[Event]) -> None:
        """Learn what the events say."""
        for event in events:
            self.facts.add(event)

    def operate(self, commands: Iterable[Command]) -> None:
        """Learn what operators say."""
        self.commands.update(commands)

    def answer(self, now_ms: int = 0) -> Answer:
        """The answer to everything learned so far, as of `now`, which only timed states look at."""
        return Resolution(self).answer(now_ms)


class Resolution:
    """One computation of the answer: each step of the guards is a property, made from those before it."""

    def __init__(self, learned: Reference) -> None:
        self.keyring, self.rules = learned.keyring, learned.rules
        self.words = words(self.keyring, learned.commands)
        self.facts = learned.facts.without(self.words.retracted)
        self.names: dict[bytes, Identifier] = {}

    def answer(self, now_ms: int, facts: Facts | None = None) -> Answer:
        """The answer as of `now`; `facts`: what is said of the entities, if not what they are made of."""
        said = self.facts if facts is None else facts
        partition, suspended = self._judged()
        entity_of: dict[Identifier, str] = {}
        for part in partition.parts:
            senior = min(part, key=lambda key: (self.age[key], key))
            name = entity_id(self.names[senior].entity_type, senior)
            entity_of.update((self.names[key], name) for key in part)

        @cache
        def home(mention: Mention) -> str | None:
            anchor = self.anchor(self.link(mention), entity_of)
            return None if anchor is None else entity_of[anchor]

        profiles = said.profiles(self.rules, home, now_ms)
        memberships = said.memberships(home)
        return Answer(entity_of, self.links, self.quarantined, self.blocked, suspended, profiles, memberships)

    def anchor(self, link: LinkKey, entity_of: Mapping[Identifier, str]) -> Identifier | None:
        """Whose facts the facts of a link are; None while none of its identifiers is in the graph."""
        inside = [key for key in link if self.names[key] in entity_of]
        found = min(inside, key=lambda key: (self._priority(key), key), default=None)
        return None if found is None else self.names[found]

    def _priority(self, key: bytes) -> int:
        return self.rules.priority(self.names[key].identifier_type)

    # blocked by rule

    @cached_property
    def links(self) -> Mapping[LinkKey, LinkFact]:
        """What the events name together, with its evidence."""
        found: dict[LinkKey, LinkFact] = {}
        for mention in self.facts.mentions:
            link = self.link(mention)
            if link:
                fact = found.get(link, LinkFact(mention.position, mention.ingested_at_ms))
                found[link] = LinkFact(
                    min(fact.first, mention.position), max(fact.last_ms, mention.ingested_at_ms)
                )
        return found

    def link(self, mention: Mention) -> LinkKey:
        """The link that a participant is evidence of; empty for none."""
        named = tuple(mention.identifiers)
        living = self.words.erasures.living_set(map(self.keyring.key, named), mention.position) or ()
        kept = {key: one for one, key in zip(named, living, strict=False) if self.rules.blocked(one) is None}
        self.names.update(kept)
        return tuple(sorted(kept))

    @cached_property
    def age(self) -> Mapping[bytes, bytes]:
        """Each identifier's lowest log position."""
        ages: dict[bytes, bytes] = {}
        for link, fact in self.links.items():
            for key in link:
                ages[key] = min(fact.first, ages.get(key, fact.first))
        return ages

    # blocked by an operator

    @cached_property
    def blocked(self) -> frozenset[bytes]:
        """Identifiers that an operator blocked, or an erasure, since it touched them."""
        return self.words.blocked & self.age.keys()

    # counted

    @cached_property
    def quarantined(self) -> Mapping[bytes, Excess]:
        """Identifiers with more partners than a rule allows: the limit that was crossed first."""
        released = self.words.released
        found = {}
        for key, partners in self._partners().items():
            excesses = [excess for limit in self._limits(key) if (excess := self._excess(limit, partners))]
            if excesses and key not in released and key not in self.blocked:
                found[key] = min(excesses, key=lambda one: (one.position, self.rules.limits.index(one.limit)))
        return found

    def _partners(self) -> Mapping[bytes, Mapping[bytes, bytes]]:
        """For each identifier, its partners, each with the position of the oldest link that holds both."""
        found: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
        for link, fact in self.links.items():
            for key in link:
                for other in link:
                    if other != key:
                        found[key][other] = min(fact.first, found[key].get(other, fact.first))
        return found

    def _limits(self, key: bytes) -> Iterator[Limit]:
        kind = self.names[key].identifier_type
        return (limit for limit in self.rules.limits if limit.identifier_type == kind)

    def _excess(self, limit: Limit, partners: Mapping[bytes, bytes]) -> Excess | None:
        counted = sorted(
            position
            for key, position in partners.items()
            if limit.partner_type in (None, self.names[key].identifier_type)
        )
        return Excess(counted[limit.most], limit) if len(counted) > limit.most else None

    # judged

    def _judged(self) -> tuple[Partition, dict[Edge, Conflict]]:
        apart: dict[bytes, set[bytes]] = defaultdict(set)
        for (one, other), _ in self.words.standing("apart"):
            apart[one].add(other)
            apart[other].add(one)
        partition = Partition(self._unique_type, apart, self.rules.unique)
        for key in self.age.keys() - self.blocked - self.quarantined.keys():
            partition.add(key)
        return partition, judge(self._edges(), partition)

    def _unique_type(self, key: bytes) -> str | None:
        kind = self.names[key].identifier_type
        return kind if kind in self.rules.unique else None

    def _edges(self) -> Iterator[Edge]:
        for keys, said in self.words.standing("together"):
            yield Edge("together", said.position, keys)
        for keys, fact in self.links.items():
            yield Edge("event", fact.first, keys)
        for key in self.age:
            for other in map(self.keyring.key, synonyms(self.names[key])):
                if other in self.age and key < other and key == self.keyring.key(self.names[key]):
                    yield Edge("synonym", b"", (key, other))
