"""Whatever the store has wrong, a repair makes of it what the log says, and tells consumers.

The log is kept as events here. After each repair the store, the reference and a consumer are compared, and
the store's invariants checked; a second repair tells nothing.
"""

import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeAlias

import pytest
import redis

from resolver.redis_store import ONE_CALL, Durability, RedisStore
from resolver.repair import Repair
from resolver.store import Batch, Command, Cut, Move
from schemas.errors import StoreUnavailable
from schemas.events import Event, log_position
from schemas.rules import Rules
from schemas.transitions import EntitiesMerged, EntitySplit, TraitChanged
from tests.resolver.histories import KEYRING, Pair, Said, event, key_of
from tests.resolver.profile_histories import STATED, Tick, a_history, an_event
from tests.resolver.test_facts import said, who

HISTORIES = int(os.environ.get("NEXUS_TEST_HISTORIES", "50"))


class Kept:
    """A log that has everything at once; `meanwhile` happens while a repair waits for it."""

    def __init__(self, pair: Pair) -> None:
        self.pair, self.all = pair, list[Event]()
        self.meanwhile: Callable[[], None] = lambda: None

    def learn(self, batch: list[Event]) -> None:
        """Let the log and all three learn of some events."""
        self.all += batch
        self.pair.learn(batch)

    def reach(self, cut: Cut) -> None:
        """Something may come meanwhile."""
        assert cut.rules == self.pair.store.rules.version
        self.meanwhile()

    def events(self, keys: Collection[bytes]) -> Iterable[Event]:
        """Those that name one of these."""
        wanted = set(keys)
        return [one for one in self.all if not wanted.isdisjoint(self.named(one))]

    def named(self, one: Event) -> Iterator[bytes]:
        """The keys that an event's identifiers ever had."""
        erased = self.pair.store.erasures()
        for participant in one.participants:
            for identifier in participant.identifiers:
                key = KEYRING.key(identifier)
                yield key
                while (erasure := erased.get(key)) is not None:
                    key = KEYRING.reborn(key, erasure)
                    yield key

    def repair(self) -> None:
        """Repair everything that the log or the store knows of."""
        pair = self.pair
        nodes: Any = pair.client.hkeys(pair.keys.nodes)
        keys = {key for one in self.all for key in self.named(one)} | set(nodes)
        repair = Repair(pair.client, "test", pair.store, self, pair.restructuring)
        repair.run(sorted(keys), log_position(2_000_000, "nexus", "reconcile"))
        repair.sweep()
        pair.settle()

    def is_right(self) -> None:
        """All agree, and another repair tells nothing."""
        self.pair.agree()
        told = len(self.pair.told)
        self.meanwhile = lambda: None
        self.repair()
        self.pair.agree()
        assert self.pair.told[told:] == []


Harm: TypeAlias = Callable[[Kept, random.Random], None]


def lose(name: str) -> Harm:
    """Some record of a hash is lost."""

    def harm(kept: Kept, draw: random.Random) -> None:
        key = getattr(kept.pair.keys, name)
        fields: Any = kept.pair.client.hkeys(key)
        if fields:
            kept.pair.client.hdel(key, draw.choice(sorted(fields)))

    return harm


def invent(kept: Kept, draw: random.Random) -> None:
    """The store has taken in an event that the log does not know of."""
    batch = [an_event(draw)]
    linker = kept.pair._linker
    kept.pair._apply(lambda: Batch((), linker.evidence(batch), facts=linker.facts(batch)))


def miss(kept: Kept, draw: random.Random) -> None:
    """The store has never seen an event that is in the log."""
    batch = [an_event(draw)]
    kept.pair.reference.add(batch)
    kept.all += batch


LOST_LINK = lose("links")
HARMS: dict[str, Harm] = {
    "lost link": LOST_LINK,
    "lost identifier": lose("nodes"),
    "lost entity, or pointer to one": lose("slots"),
    "lost facts": lose("said"),
    "lost profile": lose("profiles"),
    "an event that nobody sent": invent,
    "an event that never came": miss,
}


def a_life(client: "redis.Redis", draw: random.Random) -> Kept:
    """A random history that all have learned."""
    rules, steps = a_history(draw, 0.15)
    kept = Kept(Pair(client, rules=rules))
    for step in steps:
        if isinstance(step, Said):
            kept.pair.say(step)
        elif isinstance(step, Tick):
            kept.pair.tick(step.until_ms)
        else:
            kept.learn(step)
    return kept


@pytest.mark.parametrize("harm", HARMS)
def test_whatever_is_wrong_is_set_right(client: "redis.Redis", harm: str) -> None:
    """In random histories with all rules on: once or twice something gets lost, or comes from nowhere."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 3):
        draw = random.Random(seed)
        kept = a_life(client, draw)
        for _ in range(draw.randrange(1, 3)):
            HARMS[harm](kept, draw)
        with replay(seed):
            kept.repair()
            kept.is_right()


@pytest.mark.parametrize("harm", [LOST_LINK, invent, miss])
def test_what_comes_meanwhile_is_not_undone(client: "redis.Redis", harm: Harm) -> None:
    """Events go on while a repair waits for the log and settles.

    Facts that are lost are another thing: what consumers know by them, and lose by such an event, nobody can
    tell any more; a snapshot does.
    """
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES):
        draw = random.Random(seed)
        kept = a_life(client, draw)
        harm(kept, draw)

        def meanwhile(kept: Kept = kept, draw: random.Random = draw) -> None:
            kept.learn([an_event(draw) for _ in range(draw.randrange(1, 4))])

        kept.meanwhile = meanwhile
        with replay(seed):
            kept.repair()
            kept.is_right()


class replay:  # noqa: N801 -- used like a function
    """Prints the seed when what is inside fails."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is not None:
            print(f"seed {self._seed}")


# by hand


def test_a_lost_union_and_a_wrong_one_are_told_as_merge_and_split(client: "redis.Redis") -> None:
    """Consumers hear of a repair as of anything else, with the reconciliation as its cause."""
    kept = Kept(Pair(client))
    kept.learn([event(1, ["user_id=a"]), event(2, ["user_id=b"]), event(3, ["user_id=c"])])
    united = event(4, ["user_id=a", "user_id=b"])
    kept.all.append(united)
    kept.pair.reference.add([united])
    invented = [event(5, ["user_id=b", "user_id=c"])]
    kept.pair._apply(lambda: Batch((), kept.pair._linker.evidence(invented)))
    kept.pair.settle()
    before = len(kept.pair.told)
    kept.repair()
    told = kept.pair.told[before:]
    assert {type(one) for one in told} == {EntitiesMerged, EntitySplit}
    changes = [one for one in told if isinstance(one, EntitiesMerged | EntitySplit)]
    assert {(one.cause.source, one.cause.event_id) for one in changes} == {("nexus", "reconcile")}
    kept.is_right()


def test_a_busy_link_is_repaired_and_loses_nothing(client: "redis.Redis") -> None:
    """A link that gets an event between every two steps has its evidence and facts set right all the same."""
    kept = Kept(Pair(client, rules=STATED["the defaults"]))
    kept.learn([said(1, who("user_id=a", traits={"name": "Ada"}))])
    kept.pair.client.delete(kept.pair.keys.said)
    kept.meanwhile = lambda: kept.learn([said(2, who("user_id=a", traits={"theme": "dark"}))])
    before = len(kept.pair.told)
    kept.repair()
    changed = [one.name for one in kept.pair.told[before:] if isinstance(one, TraitChanged)]
    assert "theme" in changed
    kept.is_right()
    profile = kept.pair.store.profile(key_of("user_id=a"))
    assert profile is not None
    assert [one.name for one in profile.traits] == ["name", "theme"]


def test_what_came_and_is_not_in_the_log_yet_stays(client: "redis.Redis") -> None:
    """The log may lag behind: what the store took in since the cut is true besides what the log says."""
    kept = Kept(Pair(client, rules=STATED["the defaults"]))
    kept.learn([said(1, who("user_id=a", traits={"name": "Ada"}))])
    late = [
        said(2, who("user_id=a", traits={"theme": "dark"})),
        said(3, who("user_id=new", "email=x@y.test")),
    ]
    kept.meanwhile = lambda: kept.pair.learn(late)
    kept.repair()
    kept.pair.agree()
    kept.all += late
    kept.is_right()


@pytest.mark.parametrize("one_call", [0, ONE_CALL])
def test_what_is_pending_is_settled(client: "redis.Redis", one_call: int) -> None:
    """What only the log could tell, since an erasure came late, is no longer pending once it was asked."""
    kept = Kept(Pair(client, one_call=one_call))
    kept.learn([event(5, ["user_id=a", "user_id=b"], ms=5)])
    kept.learn([event(9, ["user_id=a", "user_id=b"], ms=9)])
    position = log_position(7, "operator", "o1")
    kept.pair.operate(Command("erase", "person", position, (key_of("user_id=a"),)))
    kept.pair.settle()
    assert kept.pair.pending() == {key_of("user_id=a"), key_of("user_id=b")}
    kept.repair()
    assert not kept.pair.store.pending()
    kept.is_right()


def test_rules_that_change_meanwhile_end_the_repair(client: "redis.Redis") -> None:
    """Nothing is written under rules that are no longer in force; the next repair is under the new ones."""
    kept = Kept(Pair(client))
    kept.learn([event(1, ["user_id=a", "email=a@x.test"])])
    other = RedisStore(client, "test", KEYRING, Durability(ephemeral=True))
    rules = Rules.from_data({"internal_domains": ["x.test"]})

    def enact() -> None:
        other.enact(Move("control", 0, None, 1), rules, log_position(5, "operator", "o1"))

    kept.meanwhile = enact
    with pytest.raises(StoreUnavailable, match="other rules"):
        kept.repair()
    assert not client.exists(kept.pair.keys.watched)
    kept.pair.settle()
    assert kept.pair.store.take_rules()
    kept.pair.reference.rules = rules
    kept.is_right()
