"""After a change of the rules: everything that it concerns is found and settled, in bounded calls.

The rules in force are changed in one call (`lua/enact.lua`); from then on events are taken under the new
ones. What was there before is walked over, beside the stream:

1. *Blocked.* What the new rules block leaves, and its links with it. What these links say of others is first
   written as smaller links, each with the evidence of the link that it comes from: that says nothing new.
2. *Counted.* Identifiers of types whose limits are others are counted from their links. Who stands as before
   is told what it counts now, in a call that does nothing if its records have changed meanwhile.
3. *Unique.* Entities are told the values that they have of newly unique types; those with two are judged.
4. *Suspended* links are judged anew if the unique types are others.

Who is to stand otherwise goes to `unsettled`, and is settled as a restructuring settles it. All of this may
begin anew at any time and ends in the same answer. `forecast` computes the same in memory and changes
nothing.
"""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import redis

from resolver.keys import Keys
from resolver.packing import (
    LinkRecord,
    NodeRecord,
    Part,
    QuarantineRecord,
    pack_member,
    pack_node,
    pack_quarantine,
    pack_shape,
    pack_type,
    unpack_link,
    unpack_node,
    unpack_quarantine,
    unpack_transitions,
)
from resolver.parts import Answer, Wish
from resolver.redis_store import RedisStore, script, translated
from resolver.region import Region, pages
from resolver.rules_change import RulesChange
from resolver.said import pack_inherited
from resolver.store import Applied, Batch, Erased, Evidence, OtherRules, Shape
from schemas.errors import StoreUnavailable
from schemas.events import log_position
from schemas.rules import Rules
from schemas.transitions import EntitySplit, IdentifierQuarantined, Transition

log = logging.getLogger("nexus.rules")

_PAGE = 500
_TRIES = 10  # before what keeps changing is left to a restructuring, which can make it wait
_AT_ONCE = 200  # identifiers whose regions are forecast together
_NOW = log_position(0, "nexus", "forecast")  # the cause of what is only thought of

Nodes = Mapping[bytes, NodeRecord]


class Counted(NamedTuple):
    """An identifier as it is, and how it is to stand."""

    key: bytes
    node: NodeRecord
    crossed: bytes  # its quarantine record, empty for none
    wish: Wish

    @property
    def stands_otherwise(self) -> bool:
        """Whether it leaves the graph or comes back."""
        return self.wish.is_in == (self.node.is_blocked or self.node.is_quarantined)

    @property
    def counts_otherwise(self) -> bool:
        """Whether its records say something else than what it is to count."""
        then = {kind: set(keys) for kind, keys in self.node.partners.items()}
        now = {kind: set(keys) for kind, keys in self.wish.partners.items()}
        known = unpack_quarantine(self.crossed or b"\0", self.node.identifier.identifier_type)
        return then != now or _by_limit(known) != _by_limit(self.wish.crossed)

    @property
    def records(self) -> tuple[bytes, ...]:
        """What `lua/recount.lua` wants to know."""
        node = self.node._replace(partners=self.wish.partners)
        crossed = pack_quarantine(self.wish.crossed) if self.wish.crossed else b""
        return self.key, pack_node(self.key, self.node), self.crossed, pack_node(self.key, node), crossed


def _by_limit(crossed: Iterable[QuarantineRecord]) -> Mapping[object, object]:
    return {one.limit: one.oldest for one in crossed}


class Survey:
    """Walks over all identifiers, page by page, for those that a change concerns. Only reads."""

    def __init__(self, client: "redis.Redis", namespace: str, store: RedisStore, change: RulesChange) -> None:
        self._client, self._namespace, self._store, self.change = client, namespace, store, change
        self._redis: Any = client  # redis-py's own annotations mix sync and async replies
        self._keys = Keys(namespace)

    def pages(self) -> Iterator[Nodes]:
        """All identifiers; what is there throughout is seen at least once."""
        cursor = -1
        while cursor:
            with translated():
                cursor, page = self._redis.hscan(self._keys.nodes, max(cursor, 0), count=_PAGE)
            yield {key: unpack_node(key, record) for key, record in page.items()}

    def blocked(self, nodes: Nodes) -> list[bytes]:
        """Those that the new rules block."""
        blocked = self.change.rules.blocked
        return [key for key, node in nodes.items() if blocked(node.identifier) is not None]

    def of_types(self, nodes: Nodes, types: Iterable[str]) -> list[bytes]:
        """Those of some identifier types."""
        prefixes = tuple(map(pack_type, types))
        return [key for key, node in nodes.items() if node.name.startswith(prefixes)]

    def region(self, roots: Collection[bytes] = ()) -> Region:
        """An empty region, in which nothing is flagged."""
        return Region(self._client, self._namespace, self._store, roots, is_dry=True)

    def look(self, keys: Sequence[bytes]) -> Region:
        """Some identifiers with their links and whom these name."""
        region = self.region()
        region.look(keys)
        return region

    def homes(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        """The slots of the entities that identifiers are in."""
        region = self.region()
        for page in pages(keys):
            region.locate(page)
        return region.homes

    def sequence(self) -> object:
        """What is another one once anything has changed."""
        return self._store.sequence(), self._store.progress()

    def counted(self, keys: Sequence[bytes]) -> Iterator[Counted]:
        """How some identifiers are to stand, by what their links say now."""
        if not keys:
            return
        region = self.look(keys)
        answer = Answer(region, {}, self.change.rules)
        with translated():
            crossed = self._redis.hmget(self._keys.quarantine, keys)
        for key, record in zip(keys, crossed, strict=True):
            if key in region.nodes and all(key in region.nodes for key in _named(region, key)):
                yield Counted(key, region.nodes[key], record or b"", answer.wish(key))

    def suspended(self) -> Iterator[bytes]:
        """Identifiers of all links that are suspended."""
        with translated():
            for name, _ in self._redis.hscan_iter(self._keys.suspended, count=_PAGE):
                if len(name) == 16:
                    record = self._redis.hget(self._keys.links, name)
                    yield from unpack_link(name, record).keys if record else ()
                else:
                    yield from (name[1:17], name[17:33])


def _named(region: Region, key: bytes) -> Iterator[bytes]:
    return (other for handle in region.links_of[key] for other in region.links[handle].keys)


def smaller_links(region: Region, keys: Iterable[bytes], rules: Rules) -> Iterator[tuple[bytes, LinkRecord]]:
    """What the links of identifiers that the rules block say of others, each with the handle of that link."""
    for handle in {handle for key in keys for handle in region.links_of[key]}:
        link = region.links[handle]
        kept = tuple(key for key in link.keys if rules.blocked(region.nodes[key].identifier) is None)
        if kept:
            yield handle, LinkRecord(link.last_ms, link.first, kept)


class _ChangedAgain(Exception):
    """Other rules are in force than those that were to be settled."""


class Rescan:
    """Finds what a change of the rules concerns, and settles what can be settled at once.

    `steps` yields after each page whether all that is in `unsettled` has to be settled before it goes on.
    """

    def __init__(self, client: "redis.Redis", namespace: str, store: RedisStore) -> None:
        self._redis: Any = client
        self._store, self._keys = store, Keys(namespace)
        with translated():
            found: Any = self._redis.hmget(self._keys.meta, "rescan", "rules_by")
        self._due, position = (value or b"" for value in found)
        self._position = bytes.fromhex(position.decode())
        self._rules = store.rules
        former = tuple(Rules.from_json(text.decode()) for text in _sized(self._due))
        self._change = RulesChange(former, self._rules)
        self._survey = Survey(client, namespace, store, self._change)
        register = client.register_script
        self._recount, self._values = (
            register(script("recount")),
            register(script("hash", "records", "values")),
        )
        self._rescanned = register(script("rescanned"))

    def steps(self) -> Iterator[bool]:
        """One bounded piece after the other; True where everything is to be settled first. Ends early when
        the rules change again.
        """
        try:
            yield from self._block()
            yield from self._count()
            yield from self._judge()
            self._end()
        except _ChangedAgain:
            log.info("the rules have changed again: what both changes concern is looked for anew")

    def _block(self) -> Iterator[bool]:
        if not self._change.may_block:
            return
        for page in self._survey.pages():
            self._shrink(self._survey.blocked(page))
            yield False
        yield True

    def _shrink(self, keys: Sequence[bytes]) -> None:
        """Write the smaller links of some identifiers and of others in these links: all go at once."""
        going: dict[bytes, None] = {}
        waiting = list(keys)
        while waiting:
            going |= dict.fromkeys(waiting)
            region = self._survey.look(waiting)
            self._write(smaller_links(region, waiting, self._rules), region)
            waiting = [key for key in self._survey.blocked(region.nodes) if key not in going]
        self._leave(going, is_ruled=True)

    def _write(self, links: Iterable[tuple[bytes, LinkRecord]], region: Region) -> None:
        known: dict[bytes, Evidence] = {}
        origins: dict[bytes, list[bytes]] = defaultdict(list)
        for handle, link in links:
            shape = self._shape(link.keys, region)
            origins[shape.handle].append(pack_inherited(shape, handle))
            one = known.get(shape.handle, Evidence(shape, link.first, link.last_ms))
            known[shape.handle] = Evidence(shape, min(one.first, link.first), max(one.last_ms, link.last_ms))
        for page in pages(sorted(known.values(), key=lambda one: (one.first, one.shape.keys))):
            self._apply(page, origins)

    def _shape(self, keys: tuple[bytes, ...], region: Region) -> Shape:
        named = [region.nodes[key].identifier for key in keys]
        parts = [Part(one, key, pack_member(key, one), b"") for one, key in zip(named, keys, strict=True)]
        handle = self._store.keyring.handle(b"".join(keys))
        packed = pack_shape(named[0].entity_type, parts)
        return Shape(tuple(named), keys, handle, packed)

    def _apply(self, evidence: Sequence[Evidence], origins: Mapping[bytes, Sequence[bytes]]) -> None:
        facts = tuple(message for one in evidence for message in origins[one.shape.handle])
        outcome = self._store.apply(Batch((), tuple(evidence), rules=self._rules.version, facts=facts))
        match outcome:
            case OtherRules():
                raise _ChangedAgain
            case Erased():  # meanwhile, and all their links with them
                gone = outcome.positions.keys()
                left = [one for one in evidence if gone.isdisjoint(one.shape.keys)]
                if left:
                    self._apply(left, origins)
            case Applied():
                return
            case _:
                raise StoreUnavailable(
                    "the outbox is full: what new rules concern waits until it is published"
                )

    def _leave(self, keys: Iterable[bytes], is_ruled: bool = False) -> None:
        """Leave identifiers to a restructuring, all at once: no link may lose one of its two blocked ones. By
        its cause it knows which ones are to go.
        """
        pipeline = self._redis.pipeline(transaction=True)
        put = pipeline.hset if is_ruled else pipeline.hsetnx
        for key in keys:
            put(self._keys.unsettled, key, self._position)
        with translated():
            pipeline.execute()

    def _count(self) -> Iterator[bool]:
        if not self._change.recounted and not self._change.newly_unique:
            return
        for page in self._survey.pages():
            self._recount_all(self._survey.of_types(page, self._change.recounted))
            for kind in self._change.newly_unique:
                self._note_values(kind, self._survey.of_types(page, [kind]))
            yield False

    def _recount_all(self, keys: Sequence[bytes]) -> None:
        """Until all of them stand and count as they are to, or are left to a restructuring."""
        for _ in range(_TRIES):
            counted = list(self._survey.counted(keys))
            otherwise = [one.key for one in counted if one.stands_otherwise]
            if otherwise:
                self._leave(otherwise)
            keys = self._tell([one for one in counted if not one.stands_otherwise and one.counts_otherwise])
            if not keys:
                return
        self._leave(keys)

    def _tell(self, counted: Sequence[Counted]) -> list[bytes]:
        """Tell them what they count; those that have to be looked at again.

        Who is quarantined is looked at again in any case: what came while its links were read was offered to
        the list that it had before.
        """
        missed: set[bytes] = set()
        for page in pages(counted):
            records = [part for one in page for part in one.records]
            with translated():
                reply = self._recount(
                    [self._keys.meta, self._keys.nodes, self._keys.quarantine],
                    [self._rules.version, *records],
                )
            if reply is None:
                raise _ChangedAgain
            missed.update(reply)
        return [one.key for one in counted if one.wish.crossed or one.key in missed]

    def _note_values(self, kind: str, keys: Sequence[bytes]) -> None:
        meta, unsettled = self._keys.meta, self._keys.unsettled
        arguments: list[Any] = [self._rules.version, self._position, pack_type(kind), *keys]
        with translated():
            if keys and not self._values([meta, self._keys.nodes, self._keys.slots, unsettled], arguments):
                raise _ChangedAgain

    def _judge(self) -> Iterator[bool]:
        if self._change.is_rejudged:
            for page in pages(self._survey.suspended()):
                self._leave(page)
                yield False
        yield True

    def _end(self) -> None:
        with translated():
            if not self._rescanned([self._keys.meta], [self._rules.version, self._due]):
                raise _ChangedAgain


def _sized(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        begin = data.index(b":", at) + 1
        at, start = begin + int(data[at : begin - 1]), begin
        yield data[start:at]


# the dry run


@dataclass
class Forecast:
    """What a change of the rules would do now: `counts` of transitions by kind, the first few as `examples`.

    `entities`: how many would not be what they are. `blocked`: identifiers that the rules would take out.
    """

    most: int
    entities: int = 0
    blocked: int = 0
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    examples: dict[str, list[Transition]] = field(default_factory=lambda: defaultdict(list))


def forecast(
    client: "redis.Redis", namespace: str, store: RedisStore, rules: Rules, most_examples: int = 5
) -> Forecast:
    """What would change under other rules, as the graph is now; changes nothing."""
    survey = Survey(client, namespace, store, RulesChange((store.rules,), rules))
    found, unsettled = Forecast(most_examples), _concerned(survey)
    waiting = dict.fromkeys(unsettled)
    while waiting:
        region = _read(survey, unsettled, list(islice(waiting, _AT_ONCE)))
        for key in region.walked.union(list(islice(waiting, _AT_ONCE))):
            waiting.pop(key, None)
        _add(found, region, unsettled & region.walked, store, namespace, rules)
    return found


def _concerned(survey: Survey) -> Set[bytes]:
    """The identifiers to be settled."""
    change, found = survey.change, set[bytes]()
    holders: dict[tuple[str, int], bytes] = {}
    for page in survey.pages():
        if change.may_block:
            found.update(survey.blocked(page))
        counted = survey.counted(survey.of_types(page, change.recounted))
        found.update(one.key for one in counted if one.stands_otherwise)
        for kind in change.newly_unique:
            keys = survey.of_types(page, [kind])
            for key, slot in survey.homes(keys).items():
                if holders.setdefault((kind, slot), key) != key:
                    found.add(key)
    if change.is_rejudged:
        found.update(survey.suspended())
    return found


def _read(survey: Survey, unsettled: Set[bytes], some: Sequence[bytes]) -> Region:
    """All that hangs together with some identifiers, as of one moment if that can be had."""
    for _ in range(_TRIES):
        before = survey.sequence()
        region = survey.region(unsettled)
        region.read(some)
        if survey.sequence() == before:
            break
    return region


def _add(
    found: Forecast, region: Region, unsettled: Set[bytes], store: RedisStore, namespace: str, rules: Rules
) -> None:
    """What would become of a region, counted and with examples."""
    answer = Answer(region, dict.fromkeys(sorted(unsettled), _NOW), rules, _NOW)
    for _, link in list(smaller_links(region, answer.ruled, rules)):
        region.put(store.keyring.handle(b"".join(link.keys)), link)
    answer.tell()
    found.entities += answer.changed
    found.blocked += len(answer.ruled)
    told: set[str] = set()
    for packed in answer.transitions:
        (made,) = unpack_transitions(packed, store.keyring, namespace, 0, 0)
        kind = "blocked" if _is_blocked(made) else made.transition
        if isinstance(made, EntitySplit):
            if made.entity_id in told:
                continue  # one entity that falls apart, in several messages
            told.add(made.entity_id)
        found.counts[kind] += 1
        if len(found.examples[kind]) < found.most:
            found.examples[kind].append(made)


def _is_blocked(made: Transition) -> bool:
    return isinstance(made, IdentifierQuarantined) and made.reason.kind == "blocked"
