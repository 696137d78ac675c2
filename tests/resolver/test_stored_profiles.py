"""What is known of entities can be asked of the store: of one, and of all in pages."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest
import redis

from resolver.facts import Membership
from resolver.profiles import Interval, Origin, Trait, Value
from resolver.store import Belonging, StoredProfile
from tests.resolver.histories import Pair, Said, key_of
from tests.resolver.rich import RULES, S, anything, group, membership, person, saying
from tests.resolver.test_restructure import between_steps


@pytest.fixture
def pair(client: "redis.Redis") -> Pair:
    """An empty store beside an empty reference, under rules with states."""
    return Pair(client, rules=RULES)


APART = Said("apart", ("user_id=b", "user_id=c"))


def walked(pair: Pair, count: int = 500) -> Iterator[StoredProfile]:
    """Every profile, in pages."""
    cursor = 0
    while True:
        cursor, _, found = pair.store.profiles_page(cursor, count)
        yield from found
        if cursor == 0:
            return


def known(profile: StoredProfile) -> dict[tuple[str, str, str | None], Membership]:
    """Its memberships as the reference says them."""
    return {one[:3]: Membership(*one[3:]) for one in profile.memberships}


ADA = [
    saying(
        1,
        person("user_id=ada", "email=ada@x.test", traits={"name": "Ada"}),
        group("domain=x.test", traits={"size": 3}),
        memberships=membership("owner"),
        states=[{"of": "person", "state_name": "paying", "state_value": "late"}],
    ),
    saying(2, person("user_id=ada"), event_name="paid"),
]


def test_a_person_is_told_with_all_that_is_known(pair: Pair) -> None:
    """Traits with who said so, timelines, derived ones too, and groups, all as of one number."""
    pair.learn(ADA)
    found = pair.store.profile(key_of("email=ada@x.test"))
    assert found is not None
    assert {one.identifier_value for one in found.entity.members} == {"ada", "ada@x.test"}
    assert found.profile.traits == {"name": Trait(b'"Ada"', Origin(S, "app", "e1"))}
    assert found.profile.timelines["paying"] == (
        Interval(Value("late"), S, 2 * S),
        Interval(Value("yes"), 2 * S, None),
    )
    assert found.profile.timelines["worry"] == (Interval(Value("high"), S, 2 * S),)
    company = pair.store.entity(key_of("domain=x.test", "group"))
    assert company is not None
    assert found.memberships == (Belonging(found.entity.entity_id, company.entity_id, "owner", S, None),)
    assert found.as_of == pair.store.sequence()


def test_timed_states_are_as_of_the_stored_now(pair: Pair) -> None:
    """Nothing falls due because somebody looks at a clock of their own."""
    pair.learn(ADA)
    awake = pair.store.profile(key_of("user_id=ada"))
    assert awake is not None
    assert (awake.now_ms, awake.profile.timelines["mood"][-1].value) == (0, Value("awake"))
    pair.tick(5 * S)
    dormant = pair.store.profile(key_of("user_id=ada"))
    assert dormant is not None
    assert dormant.now_ms == 5 * S
    assert dormant.profile.timelines["mood"][-1] == Interval(Value("dormant"), 5 * S, None)


def test_a_group_is_told_with_its_persons(pair: Pair) -> None:
    """Whatever names of it and of them the events used; those of other groups are not among them."""
    pair.learn(
        [
            *ADA,
            saying(3, person("user_id=bob"), group("group_id=x"), memberships=membership()),
            saying(4, person("user_id=bob"), group("group_id=y"), memberships=membership()),
            saying(5, person("user_id=cy"), group("group_id=x"), memberships=membership(ended=True)),
            saying(6, group("domain=x.test", "group_id=x")),
        ]
    )
    found = pair.store.profile(key_of("group_id=x", "group"))
    assert found is not None
    assert found.is_complete
    entities = (pair.store.entity(key_of(f"user_id={one}")) for one in ("ada", "bob", "cy"))
    ada, bob, cy = (one.entity_id for one in entities if one is not None)
    assert {(one.person_id, one.role, one.started_ms, one.ended_ms) for one in found.memberships} == {
        (ada, "owner", S, None),
        (bob, None, 3 * S, None),
        (cy, None, 5 * S, 5 * S),
    }


def test_what_is_cut_at_the_limit_says_so(pair: Pair) -> None:
    """Of a group of thousands the first are enough to look at."""
    pair.learn(
        [
            saying(n, person(f"user_id=u{n}"), group("group_id=x"), memberships=membership())
            for n in range(100)
        ]
    )
    found = pair.store.profile(key_of("group_id=x", "group"), limit=70)
    assert found is not None
    assert (len(found.memberships), found.is_complete) == (70, False)
    whole = pair.store.profile(key_of("group_id=x", "group"))
    assert whole is not None
    assert (len(whole.memberships), whole.is_complete) == (100, True)


def test_who_is_nobody_has_no_profile(pair: Pair) -> None:
    """An identifier that no event names, or that is blocked; one of whom nothing is said has an empty one."""
    pair.learn([saying(1, group("group_id=x"))])
    assert pair.store.profile(key_of("user_id=ada")) is None
    found = pair.store.profile(key_of("group_id=x", "group"))
    assert found is not None
    assert (found.profile.traits, found.profile.timelines, found.memberships) == ({}, {}, ())
    assert list(walked(pair)) == []
    pair.learn([saying(2, person("user_id=ada"))])
    pair.say(Said("block", ("user_id=ada",)))
    assert pair.store.profile(key_of("user_id=ada")) is None


@pytest.mark.parametrize("seed", range(30))
def test_what_is_read_is_what_the_reference_says(client: "redis.Redis", seed: int) -> None:
    """At random, by every identifier and in pages, after every batch."""
    rng = Random(seed)
    pair = Pair(client, rules=RULES)
    for _ in range(6):
        pair.learn([anything(rng) for _ in range(rng.choice([1, 3]))])
        if rng.random() < 0.3:
            pair.say(Said(rng.choice(["apart", "together"]), ("user_id=a", f"user_id={rng.choice('bcd')}")))
        if rng.random() < 0.3:
            pair.tick(pair.now_ms + 3 * S)
        _agree(pair)


def _agree(pair: Pair) -> None:
    answer = pair.reference.answer(pair.now_ms)
    by_id = {one.entity.entity_id: one for one in walked(pair, 3)}
    assert {
        name: one.profile for name, one in by_id.items() if one.profile.traits or one.profile.timelines
    } == answer.profiles
    assert {
        key: one for profile in by_id.values() for key, one in known(profile).items()
    } == answer.memberships
    for one, name in answer.entity_of.items():
        found = pair.store.profile(key_of(f"{one.identifier_type}={one.identifier_value}", one.entity_type))
        assert found is not None
        assert found.entity.entity_id == name
        assert found.profile == (by_id[name].profile if name in by_id else found.profile)
        place = 0 if one.entity_type == "person" else 1
        assert known(found) == {key: each for key, each in answer.memberships.items() if key[place] == name}


def test_a_walk_misses_nobody_who_is_merged_meanwhile(pair: Pair) -> None:
    """An id that is there from the first page to the last is seen, wherever its record moves."""
    for n in range(60):
        pair.learn([saying(n, person(f"user_id=u{n:02}", f"anonymous_id=u{n:02}", traits={"name": f"N{n}"}))])
    oldest = pair.store.entity(key_of("user_id=u00"))
    assert oldest is not None
    cursor, _, found = pair.store.profiles_page(0, 5)
    seen = {one.entity.entity_id for one in found}
    for n in range(1, 40):
        pair.learn([saying(100 + n, person("user_id=u00", f"user_id=u{n:02}"))])
        if cursor:
            cursor, _, found = pair.store.profiles_page(cursor, 5)
            seen |= {one.entity.entity_id for one in found}
    assert cursor == 0
    assert oldest.entity_id in seen


@pytest.mark.parametrize("seed", range(30))
def test_what_is_read_is_what_consumers_know(
    client: "redis.Redis", seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also between the steps of restructurings in bounded calls, while facts are not all together yet."""
    rng = Random(seed)
    pair = Pair(client, rules=RULES, one_call=0)
    sum_up = pair.store.sum_up

    def watched(messages: Sequence[bytes]) -> None:
        _is_told(pair)
        sum_up(messages)
        _is_told(pair)

    monkeypatch.setattr(pair.store, "sum_up", watched)
    between_steps(pair, lambda: _is_told(pair))
    for _ in range(8):
        pair.learn([anything(rng) for _ in range(rng.choice([1, 3]))])
        pair.say(rng.choice([Said("block", ("user_id=a",)), Said("unblock", ("user_id=a",)), APART]))
        pair.settle()
        _is_told(pair)


def _is_told(pair: Pair) -> None:
    pair._publish()
    told, profiles = pair.consumer.profiles, list(walked(pair))
    assert {(one.entity.entity_id, trait.name): trait.value for one in profiles for trait in one.traits} == {
        (name, trait): one.value for name, some in told.traits().items() for trait, one in some.items()
    }
    assert {each[:3]: (each.started_at, each.ended_at) for one in profiles for each in one.memberships} == (
        told.memberships()
    )
    assert {
        one.entity.entity_id: {name: list(line) for name, line in one.timelines.items()}
        for one in profiles
        if one.timelines
    } == told.timelines()
