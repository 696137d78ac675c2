"""What is erased before it was published is not published."""

from typing import Any

import redis

from resolver.store import Cursor
from schemas.transitions import EntityErased, Redacted, Transition
from tests.resolver.histories import Pair, Said, event


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
