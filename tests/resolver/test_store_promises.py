"""What `Store` promises beyond the answer: atomic, fenced, repeatable, in order, careful about its server."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from resolver.keys import Keys
from resolver.links import Linker
from resolver.redis_store import Durability, RedisStore
from resolver.store import Applied, Batch, Cursor, Erased, Fenced, Full, Move, OtherRules
from schemas.errors import SettingsError, StartRefused, StoreCorrupt, StoreUnavailable, TooLarge
from schemas.events import Event
from schemas.identifiers import Keyring, identifier
from schemas.rules import Rules
from schemas.transitions import EntitiesMerged, EntityCreated, EntityRelabelled, IdentifierAdded
from tests.conftest import StartRedis
from tests.end_to_end.programs import eventually
from tests.resolver.histories import KEYRING, Pair, chain, command, event, key_of
from tests.services import RedisServer, redis_executables

KEYS = Keys("test")


def batch(*events: Event, start: int | None = None, end: int = 10, topic: str = "topic") -> Batch:
    """A batch of one partition from start to end."""
    return Batch((Move(topic, 0, start, end),), Linker(KEYRING).evidence(events))


def state(client: "redis.Redis") -> Mapping[Any, Any]:
    """Everything in Redis, byte for byte. Not by DUMP, whose order changes while Redis rehashes a hash."""
    read: Mapping[bytes, Callable[[bytes], Any]] = {
        b"hash": client.hgetall,
        b"stream": client.xrange,
        b"string": client.get,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
    }
    keys: Any = client.keys()
    kinds: Any = {key: client.type(key) for key in keys}
    return {key: (kind, read[kind](key)) for key, kind in kinds.items()}


def kinds(pair: Pair) -> list[type]:
    """The kinds of the transitions that wait."""
    return [type(one) for entry in pair.store.outbox(Cursor(0, 0), 100, 1) for one in entry.transitions]


# the fence


def test_batch_from_elsewhere_is_fenced(pair: Pair) -> None:
    """A batch that does not begin where the store stands changes nothing, and is told where that is."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    before = state(pair.client)
    for start in (None, 9, 11):
        outcome = pair.store.apply(batch(event(2, ("user_id=b",)), start=start, end=20))
        assert outcome == Fenced({("topic", 0): 10})
    assert state(pair.client) == before


def test_one_fenced_partition_holds_the_batch(pair: Pair) -> None:
    """A batch of two partitions goes in whole or not at all."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    before = state(pair.client)
    moves = (Move("topic", 0, 10, 20), Move("topic", 1, 5, 6))
    assert pair.store.apply(Batch(moves, ())) == Fenced({("topic", 0): 10, ("topic", 1): None})
    assert state(pair.client) == before


def test_the_same_call_twice(pair: Pair) -> None:
    """A call that is sent again, because its answer was lost, counts once and says that it is in."""
    first = batch(event(1, ("user_id=a", "user_id=b")))
    assert pair.store.apply(first) == Applied(1)
    before = state(pair.client)
    assert pair.store.apply(first) == Applied(0, again=True)
    assert state(pair.client) == before


def test_full_outbox_holds_the_stream(client: "redis.Redis") -> None:
    """At its limit the outbox takes no more, nothing changes, and it goes on when there is room."""
    client.flushall()
    store = RedisStore(client, "test", KEYRING, Durability(ephemeral=True), outbox_limit=1)
    store.apply(batch(event(1, ("user_id=a",))))
    before = state(client)
    assert store.apply(batch(event(2, ("user_id=b",)), start=10, end=20)) == Full(1)
    assert state(client) == before
    (entry,) = store.outbox(Cursor(0, 0), 10, 1)
    last = entry.transitions[-1]
    assert store.advance(Cursor(0, 0), Cursor(last.generation, last.number), 1)
    assert store.apply(batch(event(2, ("user_id=b",)), start=10, end=20)) == Applied(1)


WRITES = {
    "a merge": batch(
        event(0, ("user_id=a", "user_id=c", "user_id=e", "anonymous_id=x", "previous_id=y")), start=10, end=20
    ),
    "a device that is shared": batch(event(9, ("anonymous_id=k", "user_id=g")), start=10, end=20),
    "a block": Batch((Move("topic", 0, 10, 20),), (), command("block", "user_id=a", ms=50)),
    "an erasure": Batch((Move("topic", 0, 10, 20),), (), command("erase", "user_id=a", ms=3)),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("broken", KEYS.apply)
def test_a_key_of_a_wrong_type_changes_nothing(pair: Pair, broken: str, write: str) -> None:
    """Behind whichever key something else stands, the call fails before its first write."""
    events = [
        event(1, ("user_id=a", "user_id=b")),
        event(2, ("user_id=c",)),
        event(3, ("user_id=d", "previous_id=x")),
        event(4, ("anonymous_id=k", "user_id=e", "user_id=f")),
        event(5, ("user_id=a", "user_id=b")),
    ]
    pair.store.apply(batch(*events))
    pair.client.delete(broken)
    pair.client.set(broken, "not what it should be")
    before = state(pair.client)
    with pytest.raises(redis.ResponseError):
        pair.store.apply(WRITES[write])
    assert state(pair.client) == before


@pytest.mark.parametrize("kind", ["together", "apart", "block", "unblock", "release", "erase"])
def test_an_operator_event_twice(pair: Pair, kind: Any) -> None:
    """An operator event that is sent again counts once and says that it is in."""
    pair.store.apply(batch(event(1, ("user_id=a", "user_id=b"))))
    names = ("user_id=a", "user_id=b") if kind in ("together", "apart") else ("user_id=a",)
    said = Batch((Move("control", 0, None, 1),), (), command(kind, *names, ms=50))
    assert isinstance(pair.store.apply(said), Applied)
    before = state(pair.client)
    assert pair.store.apply(said) == Applied(0, again=True)
    assert state(pair.client) == before


def test_erased_identifiers_are_told(pair: Pair) -> None:
    """Who names an erased identifier under its old key is told of the erasure, and nothing changes."""
    pair.store.apply(batch(event(1, ("user_id=a", "user_id=b"))))
    erasure = command("erase", "user_id=a", ms=50)
    pair.store.apply(Batch((Move("control", 0, None, 1),), (), erasure))
    before = state(pair.client)
    told = Erased({key_of("user_id=a"): erasure.position})
    assert pair.store.apply(batch(event(2, ("user_id=a",), ms=60), start=10, end=20)) == told
    said = Batch((Move("control", 0, 1, 2),), (), command("block", "user_id=a", ms=60))
    assert pair.store.apply(said) == told
    assert state(pair.client) == before


def test_an_erased_identifier_does_not_return(pair: Pair) -> None:
    """A replay from the beginning brings back nothing of what was erased; a later sign-up is a new person."""
    history = [event(1, ("user_id=a", "email=a@b.test")), event(2, ("user_id=b",))]
    pair.learn(history)
    former = pair.store.entity(key_of("user_id=a"))
    pair.operate(command("erase", "user_id=a", "email=a@b.test", ms=50))
    pair.agree()
    for _ in range(2):
        pair.learn(history)
        pair.agree()
    assert {one.identifier_value for one in pair.answered()} == {"b"}
    assert not [record for record in pair.client.hvals(KEYS.nodes) if b"a@b.test" in record]
    pair.learn([event(60, ("user_id=a", "email=a@b.test"))])
    pair.agree()
    names = {pair.answered()[one] for one in pair.answered() if one.identifier_value != "b"}
    assert former is not None
    assert len(names) == 1
    assert former.entity_id not in names


def test_other_rules_in_force(pair: Pair) -> None:
    """A batch that was made under rules that are no longer in force changes nothing."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    pair.client.hset(KEYS.meta, "rules", "another version")
    before = state(pair.client)
    refused = pair.store.apply(batch(event(2, ("user_id=b",)), start=10, end=20))
    assert refused == OtherRules("another version")
    assert state(pair.client) == before


def test_rules_of_a_namespace(pair: Pair) -> None:
    """A namespace that was opened under some rules is not opened under others without being told so."""
    assert pair.client.hget(KEYS.meta, "rules_json") == Rules().to_json().encode()
    other = Rules.from_data({"identifiers": {"user_id": {"unique": True}}})
    with pytest.raises(SettingsError, match="nexus rules apply"):
        RedisStore(pair.client, "test", KEYRING, Durability(ephemeral=True), rules=other)


def test_a_preview_above_the_limit(client: "redis.Redis") -> None:
    """What is too large for one call is not previewed: it says which entity it was, and nothing changes."""
    pair = Pair(client, one_call=50)
    pair.learn(chain(40))
    entity = pair.store.entity(key_of("user_id=u000020"))
    before = state(client)
    with pytest.raises(TooLarge) as refused:
        pair.store.preview(command("block", "user_id=u000020", ms=50_000))
    assert entity is not None
    assert [f"per_{key.hex()}" for key in refused.value.seniors] == [entity.entity_id]
    assert state(client) == before


@pytest.mark.parametrize("kind", ["block", "erase"])
def test_more_than_one_call_may_restructure(client: "redis.Redis", kind: Any) -> None:
    """An operator event about an entity above the limit is in at once, and visible once it is settled."""
    pair = Pair(client, one_call=50)
    pair.learn(chain(40))
    before = pair.answered()
    pair.operate(command(kind, "user_id=u000020", ms=50_000))
    assert pair.answered() == before
    pair.settle()
    pair.agree()
    assert len(set(pair.answered().values())) == 2


PREVIEWS = {
    "a block": command("block", "user_id=b", ms=50),
    "a pair apart": command("apart", "user_id=a", "user_id=c", ms=50),
    "a pair together": command("together", "user_id=a", "user_id=d", ms=50),
    "a release": command("release", "anonymous_id=k", ms=50),
    "an erasure": command("erase", "user_id=b", ms=50, blocked=("anonymous_id=k",)),
    "nothing new": command("unblock", "user_id=a", ms=50),
}


@pytest.mark.parametrize("said", PREVIEWS)
def test_a_preview_is_what_comes(pair: Pair, said: str) -> None:
    """A preview changes nothing, byte for byte, and tells what the operator event then brings about."""
    pair.learn([event(1, ("user_id=a", "user_id=b")), event(2, ("user_id=b", "user_id=c"))])
    pair.learn([event(3, ("anonymous_id=k", f"user_id={value}")) for value in "abcd"])
    before = state(pair.client)
    previewed = pair.store.preview(PREVIEWS[said])
    assert state(pair.client) == before
    pair.told.clear()
    pair.operate(PREVIEWS[said])
    assert tuple(pair.told) == tuple(previewed)
    assert bool(previewed) == (said != "nothing new")


def test_emptied_namespace_is_refused(pair: Pair) -> None:
    """A store whose namespace was emptied under it does not begin a new one without a word."""
    pair.client.flushall()
    with pytest.raises(StartRefused, match="emptied"):
        pair.store.apply(batch(event(1, ("user_id=a",))))
    assert pair.client.dbsize() == 0


# the transitions


def test_birth_growth_merge_and_renaming(pair: Pair) -> None:
    """Each change is told by its own transition, in the order in which they came about."""
    pair.learn([event(5, ("user_id=a",))])
    pair.learn([event(6, ("user_id=a", "user_id=b")), event(7, ("user_id=c",))])
    pair.learn([event(1, ("user_id=c", "user_id=b", "user_id=d"))])
    assert kinds(pair) == [
        EntityCreated,
        IdentifierAdded,
        EntityCreated,
        EntitiesMerged,
        IdentifierAdded,
        EntityRelabelled,
    ]


def test_merge_says_how_many_moved(pair: Pair) -> None:
    """The younger entity goes into the older, and all its identifiers move."""
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b", "user_id=c", "user_id=d"))])
    pair.learn([event(3, ("user_id=a", "user_id=d"))])
    merged = pair.store.outbox(Cursor(0, 0), 10, 1)[-1].transitions[-1]
    assert isinstance(merged, EntitiesMerged)
    assert merged.moved == 3
    assert merged.cause.event_id == "e3"
    assert merged.entity_id.endswith(KEYRING.key(identifier("person", "user_id", "a")).hex())


def test_same_log_same_transition_ids(client: "redis.Redis") -> None:
    """A replay into an empty store makes the same transition ids again."""
    history = [[event(1, ("user_id=a",)), event(2, ("user_id=b",))], [event(0, ("user_id=a", "user_id=b"))]]
    ids = []
    for _ in range(2):
        pair = Pair(client)
        for one in history:
            pair.learn(one)
        entries = pair.store.outbox(Cursor(0, 0), 10, 1)
        ids.append([one.transition_id for entry in entries for one in entry.transitions])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0])


def test_known_link_moves_its_end_only(pair: Pair) -> None:
    """The millionth event that says what a link says stores nothing but its instant."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    before = state(pair.client)
    pair.learn([event(n, ("user_id=a", "user_id=b")) for n in range(2, 1_000)])
    changed = {key for key, dump in state(pair.client).items() if dump != before.get(key)}
    assert changed == {KEYS.links.encode(), KEYS.offsets.encode()}
    assert pair.client.hlen(KEYS.links) == 1


# the outbox


def test_advance_is_compare_and_set(pair: Pair) -> None:
    """A publisher that thinks the cursor is elsewhere moves nothing and drops nothing."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    end = pair.store.sequence()
    assert not pair.store.advance(Cursor(1, 1), end, 1)
    assert pair.store.waiting() == 1
    assert pair.store.advance(Cursor(0, 0), end, 1)
    assert not pair.store.advance(Cursor(0, 0), end, 1)
    assert (pair.store.waiting(), pair.store.cursor()) == (0, end)
    assert pair.client.xlen(KEYS.outbox) == 0


def test_lock_has_one_holder(pair: Pair) -> None:
    """Who holds the lock may renew it; another one gets it when it is let go."""
    assert pair.store.hold_lock("one", 10_000)
    assert pair.store.hold_lock("one", 10_000)
    assert not pair.store.hold_lock("two", 10_000)
    pair.store.release_lock("two")
    assert not pair.store.hold_lock("two", 10_000)
    pair.store.release_lock("one")
    assert pair.store.hold_lock("two", 10_000)


def test_snapshot_requests(pair: Pair) -> None:
    """A snapshot is due from the request until a later or the same one is done."""
    assert pair.store.snapshot_due() == 0
    first, second = pair.store.request_snapshot(), pair.store.request_snapshot()
    pair.store.snapshot_done(first)
    assert pair.store.snapshot_due() == second
    pair.store.snapshot_done(second)
    assert pair.store.snapshot_due() == 0


# where to go on


def test_resume_without_history(pair: Pair) -> None:
    """A partition that nobody read begins at its beginning, under the first generation."""
    generation = pair.store.sequence().generation
    assert pair.store.resume("topic", "id", {0: None, 1: None}) == {0: None, 1: None}
    assert pair.store.sequence().generation == generation


def test_resume_where_the_store_stands(pair: Pair) -> None:
    """The store's offsets count; a group that is behind them does not."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    generation = pair.store.sequence().generation
    assert pair.store.resume("topic", "id", {0: 7, 1: None}) == {0: 10, 1: None}
    assert pair.store.sequence().generation == generation


def test_a_fall_is_told(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    """Who runs the store is told that it fell, once, and what to do when it has caught up."""
    pair.store.apply(batch(event(1, ("user_id=a",))))
    for _ in range(2):
        pair.store.resume("topic", "id", {0: 50})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "nexus publish --snapshot" in caplog.text


def test_store_that_went_back_in_time(pair: Pair) -> None:
    """A store behind its group goes on from its own offsets, under one new generation for the whole fall."""
    pair.store.apply(Batch((Move("topic", 0, None, 10), Move("topic", 1, None, 10)), ()))
    pair.store.apply(batch(event(1, ("user_id=a",)), start=10, end=11))
    before = pair.store.sequence()
    assert pair.store.resume("topic", "id", {0: 50}) == {0: 11}
    after = pair.store.sequence()
    assert after.generation > before.generation
    assert after.number == 0
    pair.store.resume("topic", "id", {1: 60})
    pair.store.resume("topic", "id", {0: 50, 1: 60})
    assert pair.store.sequence() == after
    pair.store.apply(Batch((Move("topic", 0, 11, 50), Move("topic", 1, 10, 60)), ()))
    assert pair.store.resume("topic", "id", {0: 50, 1: 60}) == {0: 50, 1: 60}
    assert pair.store.sequence() == after
    pair.store.resume("topic", "id", {0: 70})
    assert pair.store.sequence().generation > after.generation


def test_emptied_store_is_refused(pair: Pair) -> None:
    """A group that has read on and a store that knows nothing: refused, unless told to begin again."""
    with pytest.raises(StartRefused, match="--from-beginning"):
        pair.store.resume("topic", "id", {0: 5})
    assert pair.store.resume("topic", "id", {0: 5}, from_beginning=True) == {0: None}


def test_recreated_topic_is_refused(pair: Pair) -> None:
    """Offsets of a topic that was deleted and made again mean nothing."""
    pair.store.resume("topic", "one id", {0: None})
    with pytest.raises(StartRefused, match="created again"):
        pair.store.resume("topic", "another id", {0: None})


# the server and the namespace


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"appendonly": "no"}, "appendonly yes"),
        ({"appendfsync": "everysec"}, "appendfsync always"),
        ({"maxmemory-policy": "allkeys-lru"}, "noeviction"),
        ({"maxmemory-policy": "volatile-ttl"}, "noeviction"),
    ],
)
def test_unsafe_server_is_refused(
    start_redis: Callable[..., RedisServer], config: Mapping[str, str], remedy: str
) -> None:
    """A server that would lose or evict what it acknowledged is refused, with what to set."""
    server = start_redis(config=config)
    with redis.Redis.from_url(server.url) as client, pytest.raises(SettingsError, match=remedy):
        RedisStore(client, "test", KEYRING)


def test_replica_is_refused(start_redis: Callable[..., RedisServer]) -> None:
    """A replica takes no writes."""
    primary = start_redis()
    replica = start_redis()
    with redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", primary.port)
        with pytest.raises(SettingsError, match="replica"):
            RedisStore(client, "test", KEYRING)


def test_safe_server_is_taken(redis_executable: Path, start_redis: Callable[..., RedisServer]) -> None:
    """Each redis-server of this machine, with its file synced always, gives the reference's answer."""
    server = start_redis(redis_executable)
    with redis.Redis.from_url(server.url) as client:
        store = RedisStore(client, "test", KEYRING)
        assert store.apply(
            batch(event(1, ("user_id=a", "previous_id=b")), event(2, ("user_id=b",)))
        ) == Applied(2)
        store.check()


def test_namespaces_do_not_meet(pair: Pair) -> None:
    """Two namespaces in one server know nothing of each other."""
    other = RedisStore(pair.client, "other", Keyring("other"), Durability(ephemeral=True))
    pair.store.apply(batch(event(1, ("user_id=a",))))
    assert list(other.mapping("person")) == []
    assert other.offsets("topic") == {}


def test_another_secret_is_refused(pair: Pair) -> None:
    """A namespace that was built under one secret is not opened under another."""
    with pytest.raises(StartRefused, match="secret"):
        RedisStore(
            pair.client,
            "test",
            Keyring("test", b"another secret of enough bytes"),
            Durability(ephemeral=True),
        )


def test_unknown_schema_is_refused(pair: Pair) -> None:
    """A namespace that a later version wrote is not touched."""
    pair.client.hset(KEYS.meta, "schema", "999")
    with pytest.raises(StartRefused, match="schema version 999"):
        RedisStore(pair.client, "test", KEYRING, Durability(ephemeral=True))


def test_unreachable_server_is_transient() -> None:
    """Nobody listening is an error that may pass."""
    with redis.Redis(host="127.0.0.1", port=1) as client, pytest.raises(StoreUnavailable):
        RedisStore(client, "test", KEYRING)


class Forgetful(redis.Redis):
    """A client whose server is started anew just after a script was loaded, as far as scripts can tell."""

    def script_load(self, script: Any) -> Any:
        """Load it, and forget all."""
        handle = super().script_load(script)
        self.script_flush()
        return handle


def test_a_server_that_starts_anew_during_a_call_is_transient(pair: Pair, client: "redis.Redis") -> None:
    """The script that the call had loaded is gone again: that passes, and changed nothing."""
    before = state(client)
    client.script_flush()
    port = client.connection_pool.connection_kwargs["port"]
    with Forgetful(port=port) as forgetful, pytest.raises(StoreUnavailable, match="started anew"):
        RedisStore(forgetful, "test", KEYRING, Durability(ephemeral=True)).apply(
            batch(event(1, ("user_id=a",)))
        )
    assert state(client) == before
    assert pair.store.apply(batch(event(1, ("user_id=a",)))) == Applied(1)


@pytest.mark.parametrize("origin", redis_executables())
def test_a_server_without_its_replicas_takes_nothing_now(start_redis: StartRedis, origin: str) -> None:
    """It is told to take writes only with replicas that it has not: they may come."""
    server = start_redis(redis_executables()[origin])
    with redis.Redis.from_url(server.url) as client:
        store = RedisStore(client, "test", KEYRING)
        client.config_set("min-replicas-to-write", 1)
        with pytest.raises(StoreUnavailable, match="replicas"):
            store.apply(batch(event(1, ("user_id=a",))))
        client.config_set("min-replicas-to-write", 0)
        assert store.apply(batch(event(1, ("user_id=a",)))) == Applied(1)


@pytest.mark.parametrize("origin", redis_executables())
def test_a_server_that_cannot_write_takes_nothing_now(start_redis: StartRedis, origin: str) -> None:
    """Something is in the way of its file: it takes writes again once it could save."""
    server = start_redis(redis_executables()[origin])
    with redis.Redis.from_url(server.url) as client:
        store = RedisStore(client, "test", KEYRING)
        obstacle = server.folder / "dump.rdb"
        obstacle.mkdir()
        client.config_set("save", "3600 1")
        saved(client, "err")
        with pytest.raises(StoreUnavailable, match="disk"):
            store.apply(batch(event(1, ("user_id=a",))))
        obstacle.rmdir()
        saved(client, "ok")
        assert store.apply(batch(event(1, ("user_id=a",)))) == Applied(1)


def saved(client: "redis.Redis", status: str) -> None:
    """Let a server save everything, and wait until that has come to this end."""
    client.bgsave()
    eventually(lambda: client.info()["rdb_last_bgsave_status"] == status, f"the server has saved: {status}")


# check


def corruptions() -> Iterator[tuple[str, Callable[[Pair], None]]]:
    """Ways in which a store can be broken, by name."""

    def drop(key: str) -> Callable[[Pair], None]:
        return lambda pair: _drop_one(pair, key)

    for key in (KEYS.nodes, KEYS.links, KEYS.slots, KEYS.chunks):
        yield f"one of {key.rpartition(':')[2]} is gone", drop(key)
    yield "a counter is behind", lambda pair: _set(pair, "slot", "0")
    yield "waiting is miscounted", lambda pair: _set(pair, "pending", "7")
    yield "an outbox entry is gone", _drop_outbox_entry


def _drop_one(pair: Pair, key: str) -> None:
    fields: Any = pair.client.hkeys(key)
    pair.client.hdel(key, sorted(fields)[0])


def _set(pair: Pair, field: str, value: str) -> None:
    pair.client.hset(KEYS.meta, field, value)


def _drop_outbox_entry(pair: Pair) -> None:
    entries: Any = pair.client.xrange(KEYS.outbox)
    pair.client.xdel(KEYS.outbox, entries[1][0])


@pytest.mark.parametrize("corrupt", [pytest.param(corrupt, id=name) for name, corrupt in corruptions()])
def test_check_finds(pair: Pair, corrupt: Callable[[Pair], None]) -> None:
    """The store's check passes on a sound store and finds each way of breaking it."""
    hub = [event(n, ("user_id=hub", f"email=leaf{n}@b.test")) for n in range(40)]
    for one in (
        hub,
        [event(50, ("user_id=x",)), event(51, ("user_id=y",))],
        [event(52, ("user_id=x", "user_id=y"))],
    ):
        pair.learn(one)
    pair.store.check()
    corrupt(pair)
    with pytest.raises(StoreCorrupt):
        pair.store.check()
