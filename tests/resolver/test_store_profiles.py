"""The store keeps what events say, and tells what that comes to: what the reference says, after every step.

`Pair.agree` compares three answers: the reference's from the whole log, the store's from its records, and
that of a consumer who has seen nothing but what was published. It checks the invariants of the records too.
"""

import itertools
import os
import random
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from resolver.packing import pack_unsummed
from resolver.redis_store import ONE_CALL, Durability, RedisStore
from resolver.restructure import Restructuring
from resolver.store import Applied, Move
from resolver.summing_up import SummingUp
from schemas.errors import SettingsError, StoreCorrupt
from schemas.rules import Rules
from schemas.transitions import StateCorrected, StateEntered, StateExited, TraitChanged
from tests.resolver.histories import KEYRING, Pair, Said, key_of
from tests.resolver.mutants import rewrite
from tests.resolver.profile_histories import STATED, S, Step, Tick, a_history, an_event
from tests.resolver.test_facts import said, who

HISTORIES = int(os.environ.get("NEXUS_TEST_HISTORIES", "50"))
DEFAULTS = STATED["the defaults"]


def take(pair: Pair, step: Step) -> None:
    """Let all three learn of a step."""
    if isinstance(step, Said):
        pair.say(step)
    elif isinstance(step, Tick):
        pair.tick(step.until_ms)
    else:
        pair.learn(step)


@pytest.mark.parametrize("said_share", [0.0, 0.3])
def test_random_histories(client: "redis.Redis", said_share: float) -> None:
    """With all rules on, and with operators who have a say, all agree after every step."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES):
        rules, steps = a_history(random.Random(seed), said_share)
        pair = Pair(client, rules=rules)
        for step in steps:
            take(pair, step)
            try:
                pair.agree()
            except BaseException:
                print(f"seed {seed}: {steps}")
                raise


@pytest.mark.parametrize("one_call", [3, 10])
def test_what_is_too_large_for_one_call(client: "redis.Redis", one_call: int) -> None:
    """Restructurings in bounded calls carry the facts too, whatever comes between their steps."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES):
        draw = random.Random(seed)
        rules, steps = a_history(draw, 0.25)
        pair = Pair(client, rules=rules, one_call=one_call)
        pair.restructuring = Restructuring(client, "test", pair.store, Meddling(pair, draw))
        try:
            for step in steps:
                take(pair, step)
                if draw.random() < 0.5:
                    pair.settle()
                    pair.agree()
            pair.settle()
            pair.agree()
        except BaseException:
            print(f"seed {seed}, one call of {one_call}: {steps}")
            raise


@pytest.mark.parametrize("one_call", [ONE_CALL, 4])
def test_long_timelines(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, one_call: int) -> None:
    """What is older than the last few facts lies in chunks: here already the third one does."""
    kept_short(monkeypatch)
    first = random.randrange(1 << 30)
    for seed in range(first, first + HISTORIES // 2):
        draw = random.Random(seed)
        rules, steps = a_history(draw, 0.05, is_long=True)
        pair = Pair(client, rules=rules, one_call=one_call)
        try:
            for step in steps:
                take(pair, step)
                pair.settle()
                pair.agree()
        except BaseException:
            print(f"seed {seed}, one call of {one_call}: {steps}")
            raise


def kept_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let records keep one fact of a state, and chunks hold two."""
    rewrite(monkeypatch, "KEEP = 32, CHUNK = 256", "KEEP = 1, CHUNK = 2", within="facts")


class Meddling:
    """Lets something happen at some of the steps of a restructuring."""

    def __init__(self, pair: Pair, draw: random.Random) -> None:
        self._pair, self._draw = pair, draw

    def __call__(self, name: str) -> None:
        chance = self._draw.random()
        if chance < 0.15:
            self._pair.learn([an_event(self._draw)])
        elif chance < 0.2:
            self._pair.tick(self._draw.randrange(20) * S)


# by hand


def told(pair: Pair, kind: type) -> list[Any]:
    """What was told of a kind, in order."""
    return [one for one in pair.told if isinstance(one, kind)]


def states(pair: Pair) -> list[tuple[str, str, str | None]]:
    """The entries and exits that were told: which, state, value."""
    found = [one for one in pair.told if isinstance(one, StateEntered | StateExited | StateCorrected)]
    return [
        (one.transition.removeprefix("state_"), one.state_name, getattr(one, "state_value", None))
        for one in found
    ]


def paying(second: int, value: str, *names: str, **more: Any) -> Any:
    """An event that says that somebody's `paying` became something."""
    states = [{"of": "p", "state_name": "paying", "state_value": value}]
    return said(second, who(*names, ref="p"), states=states, **more)


def quiet(pair: Pair, *skip: str) -> list[tuple[str, str, str | None]]:
    """What was told of states besides those that look at activity."""
    return [one for one in states(pair) if one[1] not in ("mood", *skip)]


def test_a_state_is_entered_and_left_and_what_follows_from_it_too(client: "redis.Redis") -> None:
    """In the order of time a value is entered, the one before is exited; a late one corrects."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([paying(10, "late", "user_id=a")])
    assert quiet(pair) == [
        ("entered", "alarm", "on"),
        ("entered", "paying", "late"),
        ("entered", "worry", "high"),
    ]
    pair.learn([paying(20, "yes", "user_id=a")])
    assert quiet(pair)[3:] == [
        ("exited", "alarm", "on"),
        ("exited", "paying", "late"),
        ("entered", "paying", "yes"),
        ("exited", "worry", "high"),
    ]
    pair.learn([paying(15, "no", "user_id=a", at=30)])
    assert [one[:2] for one in quiet(pair)[7:]] == [
        ("corrected", "alarm"),
        ("corrected", "paying"),
        ("corrected", "worry"),
    ]
    pair.agree()


def test_one_batch_tells_what_single_events_tell(client: "redis.Redis") -> None:
    """Changes are made for each event: what comes in one call is told no less."""
    events = [
        paying(second, value, "user_id=a") for second, value in enumerate(["yes", "no", "late", "yes"], 1)
    ]
    told_of = []
    for batches in ([[one] for one in events], [events]):
        pair = Pair(client, rules=DEFAULTS)
        for one in batches:
            pair.learn(one)
        told_of.append(states(pair))
    assert told_of[0] == told_of[1]


def test_an_event_that_comes_again_says_nothing_new(client: "redis.Redis") -> None:
    """Duplicates and replays tell nothing and change no record but the end of the link."""
    pair = Pair(client, rules=DEFAULTS)
    events = [
        paying(1, "yes", "user_id=a"),
        said(2, who("user_id=a", traits={"name": "Ada"})),
        said(3, who("user_id=a", ref="p"), who("domain=x.test", entity_type="group", ref="g"),
             memberships=[{"person": "p", "group": "g", "role": "owner"}]),
    ]  # fmt: skip
    pair.learn(events)
    before = len(pair.told), client.hgetall(pair.keys.said), client.hgetall(pair.keys.profiles)
    pair.learn(events)
    assert (len(pair.told), client.hgetall(pair.keys.said), client.hgetall(pair.keys.profiles)) == before


def test_a_trait_is_told_when_its_value_changes(client: "redis.Redis") -> None:
    """With who says so; the same value again is not told, an unset one is, and a lesser source's is not."""
    pair = Pair(client, rules=DEFAULTS)
    for second, value in enumerate(["Ada", "Ada", "Eve", None], 1):
        pair.learn([said(second, who("user_id=a", traits={"name": value}))])
    assert [(one.value, one.event_id, one.source) for one in told(pair, TraitChanged)] == [
        ("Ada", "e1", "test"),
        ("Eve", "e3", "test"),
        (None, "e4", "test"),
    ]
    pair.agree()


def test_timers_go_off_once_and_in_their_order(client: "redis.Redis") -> None:
    """What time brings is entered when it is due, with the timer as its cause; more ticks tell nothing."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1, who("user_id=a"), name="installed"), said(3, who("user_id=b"))])
    before = len(pair.told)
    pair.tick(4 * S - 1)
    assert len(pair.told) == before
    pair.tick(30 * S)
    fired = [(one.cause.event_id, one.cause.ingested_at[17:19]) for one in told(pair, StateEntered)[2:]]
    assert fired == [("timer:mood", "04")] * 3 + [("timer:mood", "06")] * 2
    after = len(pair.told)
    pair.tick(30 * S)
    pair.tick(100 * S)
    assert len(pair.told) == after
    pair.agree()


def test_activity_at_the_very_instant_prevents_it(client: "redis.Redis") -> None:
    """A timer that was set for an instant is no news when something happened until then."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1, who("user_id=a"))])
    pair.learn([said(4, who("user_id=a"))])
    pair.tick(6 * S)
    assert "dormant" not in [one.state_value for one in told(pair, StateEntered)]
    pair.tick(7 * S)
    assert told(pair, StateEntered)[-1].state_value == "some"  # worry: it follows from being dormant
    pair.agree()


WAITING = Rules.from_data(
    {
        "states": {
            "setup": {
                "of": "person",
                "values": ["abandoned"],
                "within": {
                    "duration": "4s",
                    "value": "abandoned",
                    "since": {"events": ["installed"]},
                    "until": {"events": ["reported"]},
                },
            }
        }
    }
)


def test_what_is_awaited_has_a_timer_from_the_first_event_on(client: "redis.Redis") -> None:
    """Though that event changes no timeline; nor does one that comes in time, or repeats the start."""
    pair = Pair(client, rules=WAITING)
    pair.learn([said(1, who("user_id=a"), name="installed"), said(2, who("user_id=b"), name="installed")])
    pair.learn([said(3, who("user_id=a"), name="reported"), said(4, who("user_id=b"), name="installed")])
    pair.agree()
    assert states(pair) == []
    pair.tick(60 * S)
    assert [one[:2] for one in states(pair)] == [("entered", "setup")]
    pair.agree()


def test_ordinary_activity_stores_no_more_than_its_end(client: "redis.Redis") -> None:
    """The hundredth page view leaves records as large as the second did, one timer, and says nothing."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1, who("user_id=a")), said(2, who("user_id=a"))])
    before = sizes(pair), len(pair.told)
    pair.learn([said(second, who("user_id=a")) for second in range(3, 100)])
    assert (sizes(pair), len(pair.told)) == before
    pair.tick(50 * S)  # the timer of the first one: it finds that time is not up, and is set again
    assert (sizes(pair), len(pair.told)) == before
    pair.tick(102 * S)
    assert states(pair)[-2:] == [("entered", "mood", "dormant"), ("entered", "worry", "some")]
    pair.agree()


def sizes(pair: Pair) -> list[int]:
    """How large the records of facts are, and how many timers are set."""
    records: Any = [*pair.client.hvals(pair.keys.said), *pair.client.hvals(pair.keys.profiles)]
    return [*map(len, records), pair.client.zcard(pair.keys.timers)]


def test_now_never_falls(client: "redis.Redis") -> None:
    """A clock that is put back an hour does no harm: time stands still until it has caught up."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1, who("user_id=a"))])
    pair.tick(3_600 * S)
    pair.tick(2 * S)
    assert pair.now_ms == 3_600 * S
    pair.learn([said(3_599, who("user_id=b"))])
    pair.agree()
    pair.tick(3_700 * S)
    pair.agree()


def test_many_timers_go_off_in_several_calls(client: "redis.Redis") -> None:
    """`now` moves no further than the timers that one call sees to, also where many have one instant."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1 + number % 2, who(f"user_id=u{number}")) for number in range(1_300)])
    pair.tick(60 * S)
    fired = [one for one in told(pair, StateEntered) if one.state_value == "dormant"]
    assert len(fired) == len({one.entity_id for one in fired}) == 1_300
    pair.agree()


def test_a_merge_tells_what_the_survivor_has_now(client: "redis.Redis") -> None:
    """And only that: what it had before is not told again."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn(
        [
            said(1, who("user_id=a", traits={"name": "Ada"})),
            said(2, who("email=a@b.test", traits={"theme": 1})),
        ]
    )
    before = len(told(pair, TraitChanged))
    pair.learn([said(3, who("user_id=a", "email=a@b.test"))])
    assert [(one.name, one.value) for one in told(pair, TraitChanged)[before:]] == [("theme", 1)]
    pair.agree()


def test_what_a_fact_costs_does_not_depend_on_how_many_came_before(client: "redis.Redis") -> None:
    """The records that it reads and writes stay as they are; what is older is not looked at."""
    pair = Pair(client, rules=DEFAULTS)
    values = itertools.cycle(["yes", "no", "late"])
    sizes = []
    for turn in range(10):
        pair.learn([paying(300 * turn + number, next(values), "user_id=a") for number in range(300)])
        records: Any = [*client.hvals(pair.keys.said), *client.hvals(pair.keys.profiles)]
        sizes.append(max(map(len, records)))
    assert max(sizes) < 2 * sizes[0]
    missing: Any = client.hgetall(pair.keys.timelines)
    client.delete(pair.keys.timelines)  # who looks at it fails
    pair.learn([paying(5_000, "late", "user_id=a")])
    client.hset(pair.keys.timelines, mapping=missing)
    pair.agree()
    read_whole(pair)
    pair.learn([paying(7, "late", "user_id=a", at=6_000)])
    pair.agree()


def test_a_late_fact_corrects_no_more_than_it_changes(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it lies among what is older."""
    kept_short(monkeypatch)
    pair = Pair(client, rules=DEFAULTS)
    for second, value in enumerate(["no", "yes", "yes", "late", "no", "yes", "no", "yes"]):
        pair.learn([paying(2 * second, value, "user_id=a")])
    pair.learn([paying(3, "late", "user_id=a", at=100)])
    found = [one for one in told(pair, StateCorrected) if one.state_name == "paying"]
    assert [(one.replaced.state_entered_at[17:19], len(one.intervals)) for one in found] == [("02", 3)]
    pair.agree()


def test_what_follows_from_a_derived_state_ends_with_it(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where both have begun before what the record still holds of the facts."""
    kept_short(monkeypatch)
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([paying(1, "late", "user_id=a")])
    for second, seats in enumerate([2, 5, 4, 1], 2):
        number = {"name": "seats", "value": seats}
        pair.learn([said(second, who("user_id=a"), name="seated", measurements=[number])])
        pair.agree()
    assert quiet(pair, "paying", "seats")[2:] == [
        ("exited", "alarm", "on"),
        ("exited", "worry", "high"),
        ("entered", "worry", "some"),
    ]


def test_what_one_instant_says_last_counts_for_what_follows_from_it(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A derived state that changes with the first word and back with the last keeps since when it was so."""
    kept_short(monkeypatch)
    pair = Pair(client, rules=DEFAULTS)

    def seated(second: int, seats: int, source: str = "test") -> Any:
        number = {"name": "seats", "value": seats}
        return said(second, who("user_id=a"), name="seated", measurements=[number], source=source)

    pair.learn([paying(1, "late", "user_id=a"), seated(2, 0), seated(3, 1), seated(4, 0)])
    pair.learn([seated(6, 2, source="a"), seated(6, 1, source="b")])
    pair.agree()


def test_of_what_an_event_says_of_a_state_the_last_counts(client: "redis.Redis") -> None:
    """However often it says something: an event as large as messages may be is no load."""
    pair = Pair(client, rules=DEFAULTS)
    many = [{"name": "seats", "value": value} for value in range(20_000)]
    pair.learn([said(1, who("user_id=a"), name="seated", measurements=many)])
    assert [one[:2] for one in quiet(pair)] == [("entered", "seats")]
    pair.agree()


def test_an_event_may_have_very_many_traits(client: "redis.Redis") -> None:
    """As many as a message has room for."""
    pair = Pair(client, rules=DEFAULTS)
    pair.learn([said(1, who("user_id=a", traits={f"{number:x}": 1 for number in range(70_000)}))])
    assert len(told(pair, TraitChanged)) == 70_000
    pair.agree()


def read_whole(pair: Pair) -> None:
    """Assert that readers see all of a timeline, wherever it lies."""
    (profile,) = pair.reference.answer(pair.now_ms).profiles.values()
    found = pair.store.profile(key_of("user_id=a"))
    _, _, (met,) = pair.store.profiles_page(0)
    assert found is not None
    assert len(found.timelines["paying"]) == len(met.timelines["paying"]) == len(profile.timelines["paying"])


def test_all_at_once_or_one_by_one(client: "redis.Redis") -> None:
    """The same events in one batch, one by one and backwards leave the same facts."""
    first = random.randrange(1 << 30)
    for seed in range(first, first + 20):
        draw = random.Random(seed)
        events = [an_event(draw) for _ in range(8)]
        kept = [
            facts_of(client, batches)
            for batches in ([events], [[one] for one in events], [[one] for one in events[::-1]])
        ]
        assert kept[0] == kept[1] == kept[2], f"seed {seed}"


def facts_of(client: "redis.Redis", batches: Sequence[Sequence[Any]]) -> Any:
    """What is kept of links, in an order of its own."""
    pair = Pair(client, rules=DEFAULTS)
    for one in batches:
        pair.learn(one)
    pair.agree()
    records: Any = client.hgetall(pair.keys.said)
    return {handle: sorted(record) for handle, record in records.items()}


def test_summing_up_goes_on_under_rules_that_came_meanwhile(client: "redis.Redis") -> None:
    """Rules that come into force between two of its calls are taken over; those that cannot be, said."""
    pair = Pair(client, rules=DEFAULTS)
    other = RedisStore(client, "test", KEYRING, Durability(ephemeral=True), rules=DEFAULTS)
    rules = Rules.from_data({**DEFAULTS.as_data(), "internal_domains": ["x.test"]})
    assert isinstance(other.enact(Move("control", 0, None, 1), rules, b"\0" * 6 + b"operator\0o1"), Applied)
    pair.store.sum_up([])
    assert pair.store.rules == rules
    client.hset(pair.keys.meta, mapping={"rules": "unknown", "rules_by": ""})
    client.hdel(pair.keys.meta, "rules_by")
    with pytest.raises(SettingsError, match="other rules are in force"):
        pair.store.sum_up([])


def test_what_is_to_be_summed_up_and_not_there_is_no_endless_loop(client: "redis.Redis") -> None:
    """A store that somebody has damaged is said to be so."""
    pair = Pair(client, rules=DEFAULTS)
    client.hset(pair.keys.unsummed, "77", pack_unsummed(0, 1, b"\0" * 6 + b"test\0e1"))
    with pytest.raises(StoreCorrupt, match="slot 77"):
        SummingUp(client, pair.keys, pair.store).run()
