"""What is erased before it was published is not published."""

from typing import Any

import redis

from resolver.store import Cursor
from schemas.transitions import (
    EntityErased,
    MembershipStarted,
    Redacted,
    StateEntered,
    TraitChanged,
    Transition,
)
from tests.resolver.histories import Pair, Said, event, key_of
from tests.resolver.rich import RULES as RICH
from tests.resolver.rich import group, membership, person, saying


def published(pair: Pair) -> list[Transition]:
    """Everything that waits in the outbox, in order."""
    return [one for entry in pair.store.outbox(Cursor(0, 0), 1000, 1) for one in entry.transitions]


def test_waiting_changes_of_the_subject_are_redacted(pair: Pair) -> None:
    """They keep their numbers and name nobody; what others say stays, and the whole answer is asked for."""
    pair.learn([event(1, ("user_id=ada", "email=ada@b.test"))])
    pair.learn([event(2, ("user_id=bob",)), event(3, ("user_id=ada", "anonymous_id=x"))])
    before = published(pair)
    pair.say(Said("erase", ("user_id=ada",)))
    assert pair.restructuring.is_due()
    pair.restructuring.run()
    after = published(pair)
    assert [one.number for one in after] == [*range(1, len(before) + 2)]
    assert "ada" not in repr(after)
    assert "bob" in repr(after)
    assert [type(one) for one in after].count(Redacted) == 2
    assert isinstance(after[-1], EntityErased)
    assert pair.store.snapshot_due() == 1
    pair.store.check()


def test_redacted_entries_are_published_and_forgotten(pair: Pair) -> None:
    """The cursor passes them like any other, and nothing of them stays."""
    pair.learn([event(1, ("user_id=ada",))])
    pair.say(Said("erase", ("user_id=ada",)))
    pair.restructuring.run()
    entries = pair.store.outbox(Cursor(0, 0), 1000, 1)
    last = entries[-1].transitions[-1]
    assert pair.store.advance(Cursor(0, 0), Cursor(last.generation, last.number), 2)
    assert pair.store.outbox(Cursor(last.generation, last.number), 1000, 1) == []
    pair.store.check()
    keys = pair.store._keys
    assert pair.client.hlen(keys.redacted) == 0
    assert pair.client.scard(keys.redact) == 0


def test_redaction_is_not_lost_by_a_crash(client: "redis.Redis") -> None:
    """The keys wait until every entry is redacted: one that was before is left as it is."""
    pair = Pair(client)
    pair.learn([event(1, ("user_id=ada",))])
    pair.learn([event(2, ("user_id=ada", "email=ada@b.test"))])
    pair.say(Said("erase", ("user_id=ada",)))
    keys = pair.store._keys
    waiting: Any = client.smembers(keys.redact)  # redis-py mixes sync and async replies
    pair.restructuring.run()
    once = published(pair)
    client.sadd(keys.redact, *waiting)
    pair.restructuring.run()
    assert published(pair) == once


def test_what_was_known_of_the_subject_is_redacted(client: "redis.Redis") -> None:
    """Its traits, states and memberships that nobody was told yet; those of others are told."""
    pair = Pair(client, rules=RICH)
    states = [{"of": "person", "state_name": "paying", "state_value": "late"}]
    ada = person("user_id=ada", "email=ada@b.test", traits={"name": "Ada"})
    pair.learn([saying(1, ada, group("domain=b.test"), memberships=membership("owner"), states=states)])
    pair.learn([saying(2, person("user_id=ada", traits={"name": "Ada L."}), states=states)])
    pair.learn([saying(3, person("user_id=bob", traits={"name": "Bob"}), states=states)])
    pair.say(Said("erase", ("user_id=ada",)))
    pair.restructuring.run()
    left = published(pair)
    assert "Ada" not in repr(left)
    assert [one.value for one in left if isinstance(one, TraitChanged)] == ["Bob"]
    assert [type(one) for one in left if isinstance(one, MembershipStarted)] == []
    assert {one.entity_id for one in left if isinstance(one, StateEntered)} == {
        entity_of(pair, "user_id=bob")
    }
    assert [one.number for one in left] == [*range(1, len(left) + 1)]
    pair.store.check()


def entity_of(pair: Pair, text: str) -> str:
    """The id of the entity that has an identifier."""
    entity = pair.store.entity(key_of(text))
    assert entity is not None
    return entity.entity_id


def test_what_was_told_of_the_subject_under_another_id_is_redacted(client: "redis.Redis") -> None:
    """While it was taken for a part of somebody else, who keeps what is told since."""
    pair = Pair(client, rules=RICH)
    pair.learn([saying(0, person("user_id=bob"))])
    pair.learn([saying(1, person("user_id=bob", "anonymous_id=kiosk"))])
    pair.learn([saying(2, person("user_id=ada", "anonymous_id=kiosk", traits={"name": "Ada"}))])
    pair.say(Said("block", ("anonymous_id=kiosk",)))
    assert entity_of(pair, "user_id=ada") != entity_of(pair, "user_id=bob")
    assert any(
        isinstance(one, TraitChanged) and one.entity_id == entity_of(pair, "user_id=bob")
        for one in published(pair)
    )
    pair.say(Said("erase", ("user_id=ada",)))
    pair.restructuring.run()
    assert "Ada" not in repr(published(pair))


def test_what_is_redacted_already_is_redacted_again(client: "redis.Redis") -> None:
    """An entry that one erasure has been in may name the next subject, too."""
    pair = Pair(client)
    pair.learn([event(1, ("user_id=ada",)), event(2, ("user_id=bob",)), event(3, ("user_id=cy",))])
    for name in ("ada", "bob"):
        pair.say(Said("erase", (f"user_id={name}",)))
        pair.restructuring.run()
        assert name not in repr(published(pair))
    assert "cy" in repr(published(pair))
    pair.store.check()
