"""The store remembers the last events of an entity: those that the whole log gives, after every step.

What is expected is computed from all events that a history had, in plain Python, with the reference's word on
whose each link is.
"""

import itertools
import json
import os
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis

from resolver import redis_store
from resolver.facts import Mention
from resolver.profiles import Origin
from resolver.reference import LinkKey, Resolution
from resolver.store import RecentEvent
from schemas.errors import StoreCorrupt
from schemas.events import Event, Measurement, Participant
from schemas.identifiers import parse_entity_id
from schemas.rules import Rules
from tests.resolver.changes import ChangingPair
from tests.resolver.changes import rules as changed_rules
from tests.resolver.histories import Pair, Said, key_of
from tests.resolver.profile_histories import a_history
from tests.resolver.rich import S, group, person, saying
from tests.resolver.test_store_profiles import take

HISTORIES = int(os.environ.get("NEXUS_TEST_HISTORIES", "50"))
MOST = 3


@pytest.fixture
def pair(client: "redis.Redis") -> Pair:
    """An empty store that remembers three events of each link."""
    return Pair(client, recent_events=MOST)


# what is expected


def expected(pair: Pair, events: Iterable[Event], most: int = MOST) -> Mapping[str, Sequence[RecentEvent]]:
    """The last events of each entity, by id, from all that there were."""
    resolution = Resolution(pair.reference)
    answer = resolution.answer(0)
    found: dict[str, dict[tuple[str, str], list[RecentEvent]]] = defaultdict(lambda: defaultdict(list))
    for link, one in _of_links(resolution, events):
        anchor = resolution.anchor(link, answer.entity_of)
        if anchor is not None:
            found[answer.entity_of[anchor]][one.source, one.event_id].append(one)
    return {
        name: sorted((_united(of_key) for of_key in each.values()), key=_order)[-most:]
        for name, each in found.items()
    }


def _of_links(resolution: Resolution, events: Iterable[Event]) -> Iterator[tuple[LinkKey, RecentEvent]]:
    """Each link with each event that names it, as the last of the messages about this event says it."""
    last: dict[tuple[LinkKey, str, str], RecentEvent] = {}
    for event in events:
        roles: dict[LinkKey, list[str]] = defaultdict(list)
        for one in event.participants:
            if link := resolution.link(_mention(event, one)):
                roles[link] += [one.role] if one.role and one.role not in roles[link] else []
        for link, named in roles.items():
            key = (link, event.source, event.event_id)
            last[key] = max(last.get(key, _as_seen(event, named)), _as_seen(event, named), key=_order)
    return ((link, one) for (link, _, _), one in last.items())


def _mention(event: Event, one: Participant) -> Mention:
    origin = Origin(event.occurred_at_ms, event.source, event.event_id)
    names = frozenset(one.identifiers)
    return Mention(
        names, event.position, event.ingested_at_ms, origin, event.event_name, one.entity_type, one.role
    )


def _as_seen(event: Event, roles: Sequence[str]) -> RecentEvent:
    return RecentEvent(
        event.occurred_at_ms,
        event.source,
        event.event_id,
        event.event_name,
        event.event_type,
        tuple(roles),
        event.measurements,
    )


def _order(one: RecentEvent) -> Any:
    numbers = [[each.name, each.value, each.unit] for each in one.measurements]
    said = [one.event_name, one.event_type, list(one.roles), numbers]
    return one.occurred_ms, one.source, one.event_id, json.dumps(said, separators=(",", ":"))


def _united(messages: Sequence[RecentEvent]) -> RecentEvent:
    """One event of several links: the last message about it, with the roles of all at that instant."""
    ordered = sorted(messages, key=_order)
    roles = (role for one in ordered if one.occurred_ms == ordered[-1].occurred_ms for role in one.roles)
    return ordered[-1]._replace(roles=tuple(dict.fromkeys(roles)))


def agree(pair: Pair, events: Iterable[Event], most: int = MOST) -> None:
    """Assert that each entity has the events that it should have, and that the invariants hold."""
    pair.agree()
    wanted = expected(pair, events, most)
    for name in set(pair.answered().values()):
        found = pair.store.recent_events(parse_entity_id(name)[1])
        assert found.is_whole
        assert list(found.events) == list(wanted.get(name, ()))


def happened(pair: Pair, name: str, kind: Any = "person") -> list[str]:
    """The ids of the events of the entity that a `type=value` is of, oldest first."""
    return [one.event_id for one in pair.store.recent_events(key_of(name, kind)).events]


# histories


@pytest.mark.parametrize("said_share", [0.0, 0.3])
def test_random_histories(client: "redis.Redis", said_share: float) -> None:
    """Merges, splits, guards, erasures, late events and events told otherwise: always the last ones."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES):
        rules, steps = a_history(random.Random(seed), said_share)
        pair, events = Pair(client, rules=rules, recent_events=MOST), list[Event]()
        for step in steps:
            take(pair, step)
            events += step if isinstance(step, list) else []
            try:
                if not pair.pending():
                    agree(pair, events)
            except BaseException:
                print(f"seed {seed}: {steps}")
                raise


@pytest.mark.parametrize("one_call", [3, 10])
def test_what_is_too_large_for_one_call(client: "redis.Redis", one_call: int) -> None:
    """Taken apart or erased in bounded calls, entities have the events that one call would have left them."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 2):
        rules, steps = a_history(random.Random(seed), 0.3)
        pair, events = Pair(client, rules=rules, one_call=one_call, recent_events=MOST), list[Event]()
        for step in steps:
            take(pair, step)
            events += step if isinstance(step, list) else []
            try:
                pair.settle()
                if not pair.pending():
                    agree(pair, events)
            except BaseException:
                print(f"seed {seed}: {steps}")
                raise


def visit(number: int, *names: str, **fields: Any) -> Event:
    """The event `e<number>` of a person."""
    return saying(number, person(*names), **fields)


def test_the_last_of_all_links_in_the_order_of_time(pair: Pair) -> None:
    """Two half-known customers who turn out to be one have one course of events, and not more of them."""
    pair.learn([visit(n, "user_id=u") for n in (1, 3, 5)] + [visit(n, "email=a@b.test") for n in (2, 4)])
    assert happened(pair, "email=a@b.test") == ["e2", "e4"]
    pair.learn([visit(6, "user_id=u", "email=a@b.test")])
    assert happened(pair, "email=a@b.test") == ["e4", "e5", "e6"]
    pair.agree()


def test_who_comes_apart_has_events_of_their_own(pair: Pair) -> None:
    """Also those that had been pushed out of sight while the two were one."""
    pair.learn([visit(n, "user_id=u") for n in (1, 2)] + [visit(n, "user_id=v") for n in (3, 4, 5)])
    pair.learn([visit(6, "user_id=u", "anonymous_id=tablet"), visit(7, "user_id=v", "anonymous_id=tablet")])
    assert happened(pair, "user_id=u") == ["e5", "e6", "e7"]
    pair.say(Said("block", ("anonymous_id=tablet",)))
    assert happened(pair, "user_id=u") == ["e1", "e2", "e6"]
    assert happened(pair, "user_id=v") == ["e4", "e5", "e7"]
    pair.agree()


def test_an_erasure_leaves_none(pair: Pair) -> None:
    """The subject's go with its links; whoever took part in the same event keeps theirs."""
    both = saying(
        2, person("user_id=u", role="sender"), {**person("user_id=v", role="recipient"), "ref": "v"}
    )
    pair.learn([visit(1, "user_id=u"), both])
    for n in range(3, 20):
        pair.learn([visit(n, "user_id=u")])
    assert pair.client.hlen(pair.keys.recent) == 3
    pair.say(Said("erase", ("user_id=u",)))
    assert happened(pair, "user_id=u") == []
    assert happened(pair, "user_id=v") == ["e2"]
    assert pair.client.hkeys(pair.keys.recent) == [key_of("user_id=v")]
    pair.agree()


def test_what_has_no_anchor_waits(pair: Pair) -> None:
    """Events of an identifier that is out of the graph are nobody's, until it is in it again."""
    pair.learn([visit(1, "user_id=u"), visit(2, "anonymous_id=kiosk")])
    pair.say(Said("block", ("anonymous_id=kiosk",)))
    assert happened(pair, "anonymous_id=kiosk") == []
    pair.say(Said("unblock", ("anonymous_id=kiosk",)))
    assert happened(pair, "anonymous_id=kiosk") == ["e2"]


def test_a_link_that_unites_nothing_belongs_to_its_anchor(client: "redis.Redis") -> None:
    """Of two persons whom a suspended link names, the one whose identifier comes first has the event."""
    rules = Rules.from_data(
        {"identifiers": {"email": {}, "user_id": {"unique": True}, "anonymous_id": {"limits": {}}}}
    )
    pair = Pair(client, rules=rules, recent_events=MOST)
    pair.learn([visit(1, "user_id=u", "email=u@b.test"), visit(2, "user_id=v", "anonymous_id=x")])
    pair.learn([visit(3, "anonymous_id=x", "email=u@b.test")])
    assert (happened(pair, "user_id=u"), happened(pair, "user_id=v")) == (["e1", "e3"], ["e2"])


ORDERS = list(itertools.permutations([visit(n % 4, "user_id=u", event_name=f"n{n}") for n in range(5)]))


def test_the_same_in_every_order(client: "redis.Redis") -> None:
    """Late events push out nothing newer; one told otherwise under the same key is the same event."""
    found = set()
    for events in ORDERS:
        pair = Pair(client, recent_events=MOST)
        for one in events:
            pair.learn([one])
        found.add(pair.store.recent_events(key_of("user_id=u")).events)
    (same,) = found
    assert [one.event_name for one in same] == ["n1", "n2", "n3"]


def test_a_duplicate_shows_once(pair: Pair) -> None:
    """In one batch or another, before newer ones or behind them."""
    pair.learn([visit(1, "user_id=u"), visit(1, "user_id=u")])
    pair.learn([visit(1, "user_id=u")])
    pair.learn([visit(2, "user_id=u"), visit(1, "user_id=u"), visit(2, "user_id=u")])
    assert happened(pair, "user_id=u") == ["e1", "e2"]


def test_what_is_kept_does_not_grow(client: "redis.Redis") -> None:
    """The thousandth page view takes the place of another."""
    pair = Pair(client, recent_events=20)
    sizes = []
    for n in range(1000, 1300):
        pair.learn([visit(n, "user_id=u")])
        sizes.append(sum(map(len, pair.client.hvals(pair.keys.recent))))
        assert happened(pair, "user_id=u") == [f"e{one}" for one in range(max(1000, n - 19), n + 1)]
    assert max(sizes[200:]) == max(sizes[50:200]) < 1500
    pair.agree()


def test_nothing_is_remembered_that_nobody_asked_for(client: "redis.Redis") -> None:
    """With none to keep nothing is sent and nothing is written."""
    pair = Pair(client, recent_events=0)
    pair.learn([visit(1, "user_id=u")])
    assert happened(pair, "user_id=u") == []
    assert not client.exists(pair.keys.recent)


def test_an_event_tells_what_a_person_wants_to_see(pair: Pair) -> None:
    """What it was, when, where from, in which role, and its first numbers; a group's are its own."""
    money = [{"name": f"amount{n}", "value": n + 0.5, "unit": "EUR"} for n in range(9)]
    pair.learn(
        [
            saying(
                1,
                person("user_id=u", role="payer"),
                group("domain=x.test"),
                event_name="paid",
                event_type="billing",
                measurements=money,
            )
        ]
    )
    numbers = tuple(Measurement(f"amount{n}", n + 0.5, "EUR") for n in range(5))
    paid = RecentEvent(S, "app", "e1", "paid", "billing", ("payer",), numbers)
    assert pair.store.recent_events(key_of("user_id=u")).events == (paid,)
    assert pair.store.recent_events(key_of("domain=x.test", "group")).events == (paid._replace(roles=()),)


def test_one_event_that_names_somebody_twice_shows_once(pair: Pair) -> None:
    """Who writes to themselves is sender and recipient, by one name or by two."""
    by_two = {**person("email=a@b.test", role="recipient"), "ref": "to"}
    pair.learn(
        [visit(0, "user_id=u", "email=a@b.test"), saying(1, person("user_id=u", role="sender"), by_two)]
    )
    (_, found) = pair.store.recent_events(key_of("user_id=u")).events
    assert set(found.roles) == {"sender", "recipient"}


def test_a_value_that_a_new_rule_blocks_leaves_its_events_to_the_rest(client: "redis.Redis") -> None:
    """The link that remains has the events of the one that went."""
    changing = ChangingPair(client, recent_events=MOST)
    changing.learn([visit(n, "user_id=u", "email=a@b.test") for n in (1, 3)] + [visit(2, "user_id=u")])
    changing.change(changed_rules(email={"blocked": {"exact": ["a@b.test"]}}))
    changing.settle()
    assert happened(changing, "user_id=u") == ["e1", "e2", "e3"]
    assert changing.client.hkeys(changing.keys.recent) == [key_of("user_id=u")]
    changing.agree()


def test_what_is_cut_at_the_limit_says_so(client: "redis.Redis") -> None:
    """Somebody with a thousand devices is looked at in part."""
    pair = Pair(
        client, rules=Rules.from_data({"identifiers": {"anonymous_id": {"limits": {}}}}), recent_events=2
    )
    pair.learn([visit(n, "user_id=u", f"anonymous_id=d{n}") for n in range(100)])
    found = pair.store.recent_events(key_of("user_id=u"), limit=50)
    assert (found.is_whole, found.is_complete, len(found.events)) == (False, False, 2)
    whole = pair.store.recent_events(key_of("user_id=u"))
    assert (whole.is_whole, [one.event_id for one in whole.events]) == (True, ["e98", "e99"])


# the tests would notice

MUTANTS = {
    "what came before is forgotten": ("united(before_that[handle], texts)", "united('', texts)"),
    "late ones go behind newer ones": ("not before(last, text)", "false"),
    "a duplicate is another event": ("find(record, key, 1, true) then", "false then"),
    "the first word on an event stays": ("before(last_of[key], text) then", "false then"),
    "the newest go": ("for i = math.max(1, #found - recent.most + 1), #found", "for i = 1, recent.most"),
    "what remains of a link has no events": ("else inherit() end", "end"),
    "events of erased links stay": ("ipairs(gone_links) do\n      recent", "ipairs({}) do\n      recent"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_noticed(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Break a line of the Lua, and some small history has other events than it should."""
    whole, broken = MUTANTS[mutant]
    script = redis_store.script

    def mutated(*parts: str) -> str:
        text = script(*parts)
        assert "recent" not in parts or text.count(whole) == 1, (
            "the line is no longer there: renew the mutant"
        )
        return text.replace(whole, broken)

    monkeypatch.setattr(redis_store, "script", mutated)
    Pair(client)  # raises where the mutant is to be renewed
    assert not is_right(client)


def test_the_whole_script_is_right(client: "redis.Redis") -> None:
    """The same histories find nothing in the script as it is."""
    assert is_right(client)


def is_right(client: "redis.Redis") -> bool:
    """Whether everybody has the right events in some histories."""
    try:
        for seed in range(16):
            _visited(client, random.Random(seed))
    except (AssertionError, StoreCorrupt, redis.ResponseError):
        return False
    return True


def _visited(client: "redis.Redis", draw: random.Random) -> None:
    """Visits under two names and both, mostly in order; then a rule blocks one, or somebody is erased."""
    most, share_odd = draw.choice([MOST, 30]), draw.choice([0.03, 0.2])
    pair, events = ChangingPair(client, recent_events=most), list[Event]()
    for number in range(draw.randrange(160)):
        names = draw.choice(3 * [["user_id=u"]] + [["email=a@b.test"], ["user_id=u", "email=a@b.test"]])
        is_odd = draw.random() < share_odd
        again, second = draw.randrange(number + 1), draw.choice([number, draw.randrange(number + 1)])
        visited = visit(again, *names, second=second) if is_odd else visit(number, *names)
        events.append(visited)
        pair.learn([visited])
        if number % 15 == 0:
            agree(pair, events, most)
    if draw.random() < 0.5:
        pair.change(changed_rules(email={"blocked": {"exact": ["a@b.test"]}}))
        pair.settle()
    else:
        pair.say(Said("erase", ("user_id=u",)))
    agree(pair, events, most)
