"""Rules that are changed in the middle of a history: the store gives the answer of the new ones, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.rescan import Forecast, forecast
from resolver.restructure import Restructuring
from resolver.rules_change import RulesChange, RulesRefused
from resolver.store import Applied, Batch, Fenced, Move, OtherRules
from schemas.events import Event, log_position
from schemas.rules import Rules
from schemas.transitions import IdentifierQuarantined
from tests.resolver.changes import (
    RULES_TO_CHANGE,
    Change,
    ChangingPair,
    blocks,
    can_tell,
    changing_histories,
    rules,
)
from tests.resolver.histories import Said, event

History = Sequence[list[Event] | Said | Change]

KIOSK = [event(n, ("anonymous_id=kiosk", f"user_id=u{n}")) for n in range(1, 6)]
STRICT = rules(anonymous_id={"limits": {"user_id": 1}})


def told(start: str, history: History) -> list[list[Event] | Said | Change]:
    """The history without the changes of rules that only the log could answer, and without erasures where
    rules block: what is blocked by rule is not erased.
    """
    seen, kept = [RULES_TO_CHANGE[start]], list[list[Event] | Said | Change]()
    for one in history:
        if isinstance(one, Change):
            if not all(can_tell(former, RULES_TO_CHANGE[one.rules]) for former in seen):
                continue
            seen.append(RULES_TO_CHANGE[one.rules])
        kept.append(one)
    if any(map(blocks, seen)):
        return [one for one in kept if not (isinstance(one, Said) and one.kind == "erase")]
    return kept


def state(client: redis.Redis) -> dict[bytes, object]:
    """Everything in Redis, byte for byte; not DUMP, since a hash that is read may be laid out anew."""
    server: Any = client  # redis-py's own annotations mix sync and async replies
    read = {b"hash": server.hgetall, b"set": server.smembers, b"stream": server.xrange}
    return {key: read.get(server.type(key), server.dump)(key) for key in server.keys("*")}


def resting(pair: ChangingPair, step: Callable[[str], None]) -> Restructuring:
    """What settles for a pair, and tells each step."""
    return Restructuring(pair.client, "test", pair.store, step)


@settings(max_examples=300, print_blob=True)
@given(start=st.sampled_from(sorted(RULES_TO_CHANGE)), history=changing_histories)
def test_any_change(client: redis.Redis, start: str, history: History) -> None:
    """Whatever the rules were and are, once a change is settled store, reference and consumer agree."""
    pair = ChangingPair(client, rules=RULES_TO_CHANGE[start])
    for one in told(start, history):
        pair.do(one)
        pair.settle()
        pair.agree()


@settings(max_examples=100, print_blob=True)
@given(start=st.sampled_from(sorted(RULES_TO_CHANGE)), history=changing_histories)
def test_while_events_arrive(client: redis.Redis, start: str, history: History) -> None:
    """Events, operator events and further changes may come between any two steps of the settling."""
    waiting = [one for one in told(start, history) if not (isinstance(one, Said) and one.kind == "erase")]
    pair, prepared = ChangingPair(client, rules=RULES_TO_CHANGE[start], one_call=0), [0]

    def step(name: str) -> None:
        prepared[0] = 0 if name == "restructure-begin" else prepared[0] + (name == "restructure-prepared")
        if waiting and (prepared[0] < 3 or name != "restructure-prepared"):
            pair.do(waiting.pop(0))

    pair.restructuring = resting(pair, step)
    while waiting:
        pair.do(waiting.pop(0))
        pair.settle()
    pair.settle()
    pair.agree()


class Crashed(Exception):
    """A process ended here."""


@settings(max_examples=60, print_blob=True)
@given(
    start=st.sampled_from(sorted(RULES_TO_CHANGE)),
    history=changing_histories,
    crashes=st.sets(st.integers(0, 20)),
)
def test_crashes_in_the_scan(client: redis.Redis, start: str, history: History, crashes: set[int]) -> None:
    """Whoever takes over after a crash at any step ends in the same answer."""
    pair, steps = ChangingPair(client, rules=RULES_TO_CHANGE[start]), [0]

    def crash(_: str) -> None:
        steps[0] += 1
        if steps[0] - 1 in crashes:
            client.delete(pair.keys.worker)  # the lock of a dead process runs out
            raise Crashed

    for one in told(start, history):
        pair.do(one)
        while resting(pair, crash).is_due():
            try:
                resting(pair, crash).run()
            except Crashed:
                continue
    pair.settle()
    pair.agree()


@settings(max_examples=100, print_blob=True)
@given(
    start=st.sampled_from(sorted(RULES_TO_CHANGE)),
    history=changing_histories,
    to=st.sampled_from(sorted(RULES_TO_CHANGE)),
)
def test_a_forecast(client: redis.Redis, start: str, history: History, to: str) -> None:
    """It changes nothing, byte for byte, and foresees a change if and only if there is one."""
    pair, seen = ChangingPair(client, rules=RULES_TO_CHANGE[start]), told(start, [*history, Change(to)])
    for one in seen[:-1] if seen and seen[-1] == Change(to) else seen:
        pair.do(one)
        pair.settle()
    if not can_tell(pair.store.rules, RULES_TO_CHANGE[to]):
        return
    before, answered = state(client), pair.answered()
    found = forecast(client, "test", pair.store, RULES_TO_CHANGE[to])
    assert state(client) == before
    pair.change(RULES_TO_CHANGE[to])
    pair.settle()
    assert bool(found.counts) == (pair.answered() != answered)
    assert bool(found.entities) == bool(found.counts)


def counts(found: Forecast) -> dict[str, int]:
    """What a forecast counts."""
    return dict(found.counts)


def test_a_forecast_counts_and_shows(client: redis.Redis) -> None:
    """A limit that is lowered: who would fall apart, what would leave, and the first few of each."""
    pair = ChangingPair(client, rules=rules(anonymous_id={"limits": {"user_id": 9}}))
    pair.learn([*KIOSK, event(9, ("user_id=x", "email=x@b.test"))])
    found = forecast(client, "test", pair.store, Rules(), 1)
    assert counts(found) == {"identifier_quarantined": 1, "entity_split": 1}
    assert (found.entities, found.blocked) == (1, 0)
    assert [len(some) for some in found.examples.values()] == [1, 1]


def test_who_stands_as_before_is_left_alone(client: redis.Redis) -> None:
    """A device that is over the old limit and over the new one is told its new limit, and nobody moves."""
    pair = ChangingPair(client)
    pair.learn(KIOSK)
    before = pair.store.sequence()
    for other in (STRICT, rules(anonymous_id={"limits": {"user_id": 3}, "max_degree": 2})):
        pair.change(other)
        pair.settle()
        pair.agree()
    assert pair.store.sequence() == before
    assert pair.store.rescanned() == 0


def test_only_what_it_concerns_is_resolved_anew(client: redis.Redis) -> None:
    """A hundred persons, one device that is shared: one entity is not what it was."""
    pair = ChangingPair(client, rules=rules(anonymous_id={"limits": {"user_id": 9}}))
    pair.learn([*KIOSK, *(event(n, (f"user_id=p{n}", f"anonymous_id=d{n}")) for n in range(10, 110))])
    pair.change(Rules())
    pair.settle()
    pair.agree()
    assert pair.store.rescanned() == 1


@pytest.mark.parametrize("count", [700, 2_500])
def test_many_at_once(client: redis.Redis, count: int) -> None:
    """More values than one restructuring takes are blocked and settled in turns."""
    pair = ChangingPair(client)
    pair.learn(
        [event(n, (f"user_id=u{n}", f"email=e{n}@b.test", f"email=f{n // 2}@b.test")) for n in range(count)]
    )
    pair.change(rules(email={"blocked": {"patterns": [".*@b[.]test"]}}))
    pair.settle()
    pair.agree()
    assert not pair.restructuring.is_due()


def test_blocked_by_rule_takes_its_place_in_links_away(client: redis.Redis) -> None:
    """{A, X} becomes {A}, with the evidence of both, and X is told to have left."""
    pair = ChangingPair(client)
    pair.learn(
        [event(1, ("user_id=a", "email=x@b.test")), event(2, ("user_id=a",)), event(3, ("email=x@b.test",))]
    )
    pair.change(rules(email={"blocked": {"exact": ["x@b.test"]}}))
    pair.settle()
    pair.agree()
    (link,) = pair.linked().values()
    assert (link.first, link.last_ms) == (event(1).position, 2)
    left = pair.told[-1]
    assert isinstance(left, IdentifierQuarantined)
    assert left.reason.kind == "blocked"


def test_what_is_no_longer_blocked_is_untold(client: redis.Redis) -> None:
    """It is listed until it is blocked again; everything else agrees."""
    start = rules(email={"blocked": {"exact": ["x@b.test"], "patterns": ["no-?reply@.*"]}})
    pair = ChangingPair(client, rules=start)
    pair.learn([event(1, ("user_id=a", "email=y@b.test"))])
    pair.change(Rules())
    pair.settle()
    pair.agree()
    untold = [{"type": "email", "exact": "x@b.test"}, {"type": "email", "pattern": "no-?reply@.*"}]
    assert sorted(pair.store.untold(), key=repr) == sorted(untold, key=repr)
    pair.change(rules(email={"blocked": {"exact": ["x@b.test"]}}))
    assert list(pair.store.untold()) == untold[1:]


def test_another_normaliser_is_refused(client: redis.Redis) -> None:
    """What was normalised stays as it is, so such rules are not taken, and nothing changes."""
    pair = ChangingPair(client)
    before = state(client)
    with pytest.raises(RulesRefused, match="the normal form of email"):
        pair.change(rules(email={"ignore_gmail": ["dots"]}))
    assert state(client) == before


def test_of_two_the_later_counts(client: redis.Redis) -> None:
    """Rules of a lower log position than those in force change nothing, and their message is read."""
    pair = ChangingPair(client)
    pair.learn(KIOSK)
    pair.change(STRICT)
    earlier = log_position(0, "nexus-operator", "r0000")
    assert pair.store.enact(Move("control", 0, 1, 2), Rules(), earlier) == Applied(0)
    assert pair.store.rules == STRICT
    assert pair.store.offsets("control") == {0: 2}


def test_sent_twice_counts_once(client: redis.Redis) -> None:
    """A call that is sent again says that it is in; one from elsewhere is fenced."""
    pair = ChangingPair(client)
    position = log_position(1, "nexus-operator", "r1")
    assert pair.store.enact(Move("control", 0, None, 1), STRICT, position) == Applied(0)
    before = state(client)
    assert pair.store.enact(Move("control", 0, None, 1), STRICT, position) == Applied(0, again=True)
    assert isinstance(pair.store.enact(Move("control", 0, 7, 8), Rules(), position), Fenced)
    assert state(client) == before


def test_batches_made_under_other_rules(client: redis.Redis) -> None:
    """A batch says under which rules it was made; under others it changes nothing."""
    pair = ChangingPair(client)
    old = pair.store.rules.version
    pair.change(STRICT)
    assert pair.store.apply(Batch((), (), rules=old)) == OtherRules(STRICT.version)
    assert pair.store.apply(Batch((), (), rules=STRICT.version)) == Applied(0)


def test_what_differs() -> None:
    """A change knows what it concerns."""
    change = RulesChange((Rules(),), rules(user_id={"unique": True}, anonymous_id={"limits": {"user_id": 3}}))
    assert change.recounted == {"anonymous_id"}
    assert change.newly_unique == ("user_id",)
    assert change.is_rejudged
    assert not change.may_block
    assert not change.untold
    lists = RulesChange((Rules(),), rules(email={"blocked": {"lists": ["zeros"]}}))
    assert [each.split('"')[3] for each in lists.untold] == ["null-word", "test-address"]
    assert RulesChange((rules(phone={"default_region": "DE"}),), Rules()).renormalised == ("phone",)
    own = RulesChange((Rules.from_data({"internal_domains": ["acme.test"]}),), Rules())
    assert own.untold == ('{"internal":"acme.test","type":"domain"}',)
    assert own.may_block
