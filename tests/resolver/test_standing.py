"""What the store tells of what is out of the graph, of what is suspended, and of what operators tied."""

from itertools import permutations

import pytest
import redis

from resolver.store import Command, Quarantined, Standing, Suspension, Ties
from schemas.identifiers import identifier
from schemas.rules import Rules
from schemas.transitions import Cause, IdentifierReleased, QuarantineReason
from tests.resolver.histories import KEYRING, RULES, Pair, command, event, key_of

K = key_of("anonymous_id=k")
BLOCKED = QuarantineReason(kind="blocked")


def brought_by(number: int) -> QuarantineReason:
    """The reason of a device with more than two user ids, that event `e<number>` brought."""
    ingested_at = f"1970-01-01T00:00:00.{number:03}Z"
    cause = Cause(source="test", event_id=f"e{number}", ingested_at=ingested_at)
    return QuarantineReason(kind="limit", partner_type="user_id", limit=2, brought_by=cause)


def test_in_the_graph(pair: Pair) -> None:
    """An identifier that no guard holds is in, and has no reason."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    a = identifier("person", "user_id", "a")
    assert pair.store.standing(key_of("user_id=a")) == Standing(a, "in", None, ())
    assert list(pair.store.quarantined()) == []


def test_unnamed(pair: Pair) -> None:
    """What no event names stands nowhere, whatever operators say of it."""
    nobody = Standing(None, "unnamed", None, ())
    assert pair.store.standing(key_of("user_id=a")) == nobody
    pair.operate(command("block", "user_id=a", ms=50))
    assert pair.store.standing(key_of("user_id=a")) == nobody
    assert list(pair.store.quarantined()) == []


def test_quarantined(pair: Pair) -> None:
    """A shared device stands outside, with the limit, what brought one too many, and its partners by age."""
    pair.learn([event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("cabd", 1)])
    one = identifier("person", "anonymous_id", "k")
    partners = tuple(key_of(f"user_id={value}") for value in "cabd")
    assert pair.store.standing(K) == Standing(one, "quarantined", brought_by(3), partners)
    assert list(pair.store.quarantined()) == [Quarantined(K, one, "quarantined", brought_by(3))]


def test_blocked(pair: Pair) -> None:
    """What an operator blocked stands outside as blocked, also where it would be quarantined anyway."""
    pair.learn([event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("abc", 1)])
    pair.operate(command("block", "anonymous_id=k", ms=50))
    one = identifier("person", "anonymous_id", "k")
    partners = tuple(key_of(f"user_id={value}") for value in "abc")
    assert pair.store.standing(K) == Standing(one, "blocked", BLOCKED, partners)
    assert list(pair.store.quarantined()) == [Quarantined(K, one, "blocked", BLOCKED)]


def test_erased(pair: Pair) -> None:
    """An erased identifier answers that for ever, and not who it was; who comes back is another."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    erasure = command("erase", "user_id=a", ms=50)
    pair.operate(erasure)
    gone = Standing(None, "erased", None, ())
    assert pair.store.standing(key_of("user_id=a")) == gone
    assert pair.store.standing(key_of("user_id=b")) == Standing(None, "unnamed", None, ())
    pair.learn([event(60, ("user_id=a",))])
    assert pair.store.standing(key_of("user_id=a")) == gone
    reborn = KEYRING.reborn(key_of("user_id=a"), erasure.position)
    assert pair.store.standing(reborn).state == "in"


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_reason_does_not_depend_on_the_order(pair: Pair, order: tuple[int, ...]) -> None:
    """Whichever partners arrive late, the one too many is the third in log order."""
    events = [event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("abcd", 1)]
    for place in order:
        pair.learn([events[place]])
    assert pair.store.standing(K).reason == brought_by(3)
    pair.agree()


def test_the_reason_changes_with_older_evidence(pair: Pair) -> None:
    """A partner that turns out to be older than the one too many, or the same with older evidence, moves the
    reason.
    """
    for n, value in ((50, "a"), (60, "b"), (70, "c")):
        pair.learn([event(n, ("anonymous_id=k", f"user_id={value}"))])
    assert pair.store.standing(K).reason == brought_by(70)
    pair.learn([event(40, ("anonymous_id=k", "user_id=d"))])
    assert pair.store.standing(K).reason == brought_by(60)
    pair.learn([event(30, ("anonymous_id=k", "user_id=c"))])
    assert pair.store.standing(K).reason == brought_by(50)
    pair.learn([event(20, ("anonymous_id=k", "user_id=b", "user_id=d"))])
    assert pair.store.standing(K).reason == brought_by(30)
    pair.agree()


def test_many_partners_of_a_shared_value(pair: Pair) -> None:
    """A value shared by thousands tells a hundred of its partners, and its record stays small."""
    pair.learn([event(n, ("anonymous_id=k", f"user_id=u{n}")) for n in range(1, 3_001)])
    assert len(pair.store.standing(K).partners) == 100
    assert pair.store.standing(K).reason == brought_by(3)
    record = pair.client.hget(pair.keys.quarantine, K)
    assert record is not None
    assert len(record) < 200
    pair.agree()


def test_two_limits(client: "redis.Redis") -> None:
    """Of two limits that are crossed the one that the log crossed first is the reason."""
    pair = Pair(client, rules=RULES["a user has two devices and one other name"])
    pair.learn([event(9, ("user_id=a", "anonymous_id=x", "anonymous_id=y"))])
    pair.learn([event(n, ("user_id=a", f"user_id={value}")) for n, value in ((3, "b"), (5, "c"))])
    reason = pair.store.standing(key_of("user_id=a")).reason
    assert reason is not None
    assert (reason.kind, reason.partner_type, reason.limit) == ("limit", "user_id", 1)
    assert reason.brought_by is not None
    assert reason.brought_by.event_id == "e5"
    pair.agree()


def test_degree(client: "redis.Redis") -> None:
    """A limit on partners of any type says so."""
    pair = Pair(client, rules=Rules.from_data({"identifiers": {"email": {"max_degree": 1}}}))
    pair.learn([event(1, ("email=a@b.test", "user_id=a", "anonymous_id=x"))])
    reason = pair.store.standing(key_of("email=a@b.test")).reason
    assert reason is not None
    assert (reason.kind, reason.partner_type, reason.limit) == ("degree", None, 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([command("release", "anonymous_id=k", ms=50)], "released"),
        ([command("block", "user_id=a", ms=50), command("unblock", "user_id=a", ms=51)], "unblocked"),
        ([command("erase", "user_id=c", ms=50)], "erased"),
    ],
)
def test_who_is_back_says_why(pair: Pair, said: list[Command], why: str) -> None:
    """One that is back in the graph says whether it was released, unblocked, or others were erased."""
    pair.learn([event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("abc", 1)])
    for one in said:
        pair.told.clear()
        pair.operate(one)
    (back,) = (one for one in pair.told if isinstance(one, IdentifierReleased))
    assert back.reason == why
    pair.agree()


def test_suspended(client: "redis.Redis") -> None:
    """A link that would give a person two user ids is suspended, with the type."""
    pair = Pair(client, rules=RULES["one user id a person"])
    pair.learn([event(1, ("user_id=a", "email=x@b.test"))])
    late = event(2, ("user_id=b", "email=x@b.test"))
    pair.learn([late])
    keys = tuple(sorted((key_of("user_id=b"), key_of("email=x@b.test"))))
    assert list(pair.store.suspended()) == [Suspension(keys, "event", late.position, "user_id", None)]


def test_suspended_ties(client: "redis.Redis") -> None:
    """What an operator put together, and the tie of an alias, are told as suspended like a link."""
    pair = Pair(client, rules=RULES["one user id a person"])
    pair.learn([event(1, ("user_id=a",)), event(2, ("user_id=b",)), event(3, ("previous_id=b",))])
    older = command("together", "user_id=a", "user_id=b", ms=50)
    newer = command("together", "user_id=a", "previous_id=b", ms=51)
    pair.operate(older)
    pair.operate(newer)
    alias = tuple(sorted((key_of("user_id=b"), key_of("previous_id=b"))))
    found = {one.kind: one for one in pair.store.suspended()}
    assert found == {
        "together": Suspension(older.keys, "together", older.position, "user_id", None),
        "synonym": Suspension(alias, "synonym", b"", "user_id", None),
    }
    pair.agree()


def test_suspended_by_a_pair(pair: Pair) -> None:
    """A link between two that are to be apart names the pair."""
    pair.learn([event(1, ("user_id=a", "user_id=b"))])
    apart = command("apart", "user_id=a", "user_id=b", ms=50)
    pair.operate(apart)
    (one,) = pair.store.suspended()
    assert (one.unique, one.apart) == (None, apart.keys)


def test_ties(pair: Pair) -> None:
    """What operators and aliases tie to an identifier, from both sides; of a pair the last word."""
    pair.learn([event(1, ("user_id=a", "user_id=b")), event(2, ("previous_id=a",))])
    a, b, c, alias = map(key_of, ("user_id=a", "user_id=b", "user_id=c", "previous_id=a"))
    pair.operate(command("apart", "user_id=a", "user_id=b", ms=49))
    together, apart = (
        command("together", "user_id=a", "user_id=b", ms=50),
        command("apart", "user_id=a", "user_id=c", ms=51),
    )
    pair.operate(together)
    pair.operate(apart)
    ties = pair.store.ties([a, b, c, alias, key_of("user_id=d")])
    assert ties[a] == Ties(((b, together.position),), ((c, apart.position),), (alias,))
    assert ties[b] == Ties(((a, together.position),))
    assert ties[c] == Ties((), ((a, apart.position),))
    assert set(ties[alias].synonyms) == {a, key_of("anonymous_id=a")}
    assert ties[key_of("user_id=d")] == Ties()


def test_touched(pair: Pair) -> None:
    """What is out of the graph and shares a link with an entity is what its erasure is to block."""
    pair.learn([event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("abc", 1)])
    pair.learn([event(4, ("user_id=a", "user_id=d")), event(5, ("user_id=d", "email=x@b.test"))])
    pair.operate(command("block", "email=x@b.test", ms=50))
    members = [key_of("user_id=a"), key_of("user_id=d")]
    assert set(pair.store.touched(members)) == {K, key_of("email=x@b.test")}
    assert pair.store.touched([key_of("user_id=b")]) == (K,)
    assert pair.store.touched([]) == pair.store.touched([key_of("user_id=zz")]) == ()


def test_late_rules_do_not_depend_on_arrival(client: "redis.Redis") -> None:
    """Who has the one place of a unique type is decided by the log, not by who came first."""
    events = [event(n, (f"user_id={value}", "email=x@b.test")) for n, value in ((1, "a"), (2, "b"), (3, "c"))]
    answers = []
    for order in permutations(events):
        pair = Pair(client, rules=RULES["one user id a person"])
        for one in order:
            pair.learn([one])
        pair.agree()
        answers.append((pair.answered(), pair.suspended()))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0][1]) == 2
