"""What a consumer makes of the transitions, against the publisher that made them."""

from collections.abc import Callable
from random import Random

import pytest

from schemas.identifiers import EntityType
from schemas.mapping import EntityMapping, Name
from schemas.redaction import hides_departure, redacted
from schemas.transitions import Change, NamedIdentifier, Snapshot
from tests.schemas.changes import Publisher, label


def _consumer(transitions: list[Change | Snapshot]) -> EntityMapping:
    mapping = EntityMapping()
    for transition in transitions:
        mapping.apply(transition)
    return mapping


def assert_profiles(mapping: EntityMapping, publisher: Publisher) -> None:
    """The consumer has every profile as the changes told it, in the order of their numbers."""
    profiles, told = mapping.profiles, publisher.told
    traits = {
        (who, name): one.value for who, named in profiles.traits().items() for name, one in named.items()
    }
    assert traits == told.traits
    assert profiles.memberships() == told.memberships
    intervals = {
        (who, name, one.state_entered_at): one
        for who, states in profiles.timelines().items()
        for name, several in states.items()
        for one in several
    }
    assert intervals == told.intervals


def _shuffled(random: Random, transitions: list[Change | Snapshot]) -> list[Change | Snapshot]:
    """All of them in any order, some of them twice."""
    twice = transitions + random.choices(transitions, k=len(transitions) // 2)
    random.shuffle(twice)
    return twice


@pytest.mark.parametrize("seed", range(40))
def test_any_order_and_any_number_of_times_gives_one_mapping(seed: int) -> None:
    """Partitions race and deliveries repeat; the consumer ends where the publisher is."""
    publisher = Publisher(Random(seed))
    for _ in range(60):
        publisher.step()
    mapping = _consumer(_shuffled(Random(seed), publisher.published))
    assert mapping.as_dict() == publisher.mapping()
    assert_profiles(mapping, publisher)
    assert mapping.missing == ()
    assert mapping.number == publisher.number


@pytest.mark.parametrize("seed", range(10))
def test_in_order_the_mapping_is_right_after_every_step(seed: int) -> None:
    """A consumer that keeps up knows the answer when all of a change is said."""
    publisher, mapping = Publisher(Random(seed)), EntityMapping()
    for _ in range(60):
        known = len(publisher.published)
        publisher.step()
        for transition in publisher.published[known:]:
            mapping.apply(transition)
        assert mapping.as_dict() == publisher.mapping()
        assert_profiles(mapping, publisher)


def test_a_change_waits_for_the_ones_before_it() -> None:
    """Nothing is applied across a gap, and the gap is named."""
    publisher = Publisher(Random(0))
    for _ in range(4):
        publisher.create()
    first, second, third, fourth = publisher.published
    mapping = _consumer([first, fourth])
    assert list(mapping.missing) == [2, 3]
    assert mapping.entity_of("person", "user_id", "4") is None
    mapping.apply(third)
    mapping.apply(second)
    assert list(mapping.missing) == []
    assert mapping.entity_of("person", "user_id", "4") == label(4)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("steps_between", [0, 3])
def test_a_snapshot_amid_changes_changes_nothing_that_is_right(seed: int, steps_between: int) -> None:
    """Whatever arrives first, a consumer that misses nothing is right after a snapshot too."""
    publisher = Publisher(Random(seed))
    publisher.never_releases = bool(seed % 2)
    for _ in range(20):
        publisher.step()
    publisher.snapshot(steps_between)
    for _ in range(5):
        publisher.step()
    mapping = _consumer(_shuffled(Random(seed), publisher.published))
    assert mapping.as_dict() == publisher.mapping()
    assert_profiles(mapping, publisher)
    assert mapping.missing == ()


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("steps_between", [0, 3])
def test_a_consumer_can_start_in_the_middle(seed: int, steps_between: int) -> None:
    """What came before the snapshot's start is not needed, whole or in part, in any order."""
    random, publisher = Random(seed), Publisher(Random(seed))
    publisher.never_releases = bool(seed % 2)
    for _ in range(30):
        publisher.step()
    before = list(publisher.published)
    publisher.snapshot(steps_between)
    publisher.step()
    late = random.sample(before, random.randint(0, 10))
    mapping = _consumer(_shuffled(random, publisher.published[len(before) :] + late))
    assert mapping.as_dict() == publisher.mapping()
    assert_profiles(mapping, publisher)
    assert mapping.missing == ()


@pytest.mark.parametrize("seed", range(40))
def test_several_snapshots_come_in_any_order(seed: int) -> None:
    """What the first one lets go of, the second may still need, and it is there."""
    random, publisher = Random(seed), Publisher(Random(seed))
    publisher.never_releases = bool(seed % 4 > 1)
    for _ in range(15):
        publisher.step()
    before = len(publisher.published)
    for _ in range(3):
        publisher.snapshot(3)
        publisher.step()
    mapping = _consumer(_shuffled(random, publisher.published[before * (seed % 2) :]))
    assert mapping.as_dict() == publisher.mapping()
    assert_profiles(mapping, publisher)
    assert mapping.missing == ()


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_brings_a_consumer_of_another_generation_right(seed: int) -> None:
    """After the store went back in time, what it forgot is dropped, and what it says anew is taken."""
    random = Random(seed)
    lost = Publisher(Random(seed))
    for _ in range(30):
        lost.step()
    again = Publisher(Random(seed + 1000), generation=2)
    for _ in range(20):
        again.step()
    again.published.clear()  # known before the store went back, so never published in this generation
    again.number = 0
    again.snapshot(2)
    again.step()
    mapping = _consumer(
        lost.published + _shuffled(random, again.published + random.sample(lost.published, 5))
    )
    assert mapping.as_dict() == again.mapping()
    assert_profiles(mapping, again)


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_that_runs_ahead_does_not_show_the_future(seed: int) -> None:
    """However early a snapshot's messages come, the mapping is that of the number reached, at every step."""
    random, publisher = Random(seed), Publisher(Random(seed))
    history: dict[int, dict[Name, str]] = {}
    publisher.on_change = lambda: history.update({publisher.number: publisher.mapping()})
    for _ in range(9):
        publisher.step()
    known = len(publisher.published)
    publisher.snapshot(3)

    def turn(transition: Change | Snapshot) -> float:
        early = isinstance(transition, Snapshot) and random.random() < 0.5
        return transition.number - (20 if early else 0)

    mapping = _consumer(publisher.published[:known])
    ahead = sorted(publisher.published[known:], key=turn)
    for each in ahead:
        mapping.apply(each)
        assert mapping.as_dict() == history.get(mapping.number, mapping.as_dict())
    assert mapping.as_dict() == publisher.mapping()


def test_a_snapshot_is_followed_through_an_id_that_comes_back() -> None:
    """A merge takes an id away, a relabelling brings it back: what the snapshot said of it is still right."""
    publisher = Publisher(Random(0))
    publisher.entities = {label(1): {1}, label(2): {2}}
    publisher.known = 2
    publisher.snapshot()
    publisher.merge()
    publisher.relabel()
    said, changes = publisher.published[:4], publisher.published[4:]
    assert _consumer([*changes, *said]).as_dict() == publisher.mapping()


def _of(entities: dict[str, set[int]]) -> Publisher:
    """A publisher that begins with these entities, and has said so in a snapshot."""
    publisher = Publisher(Random(0))
    publisher.entities = entities
    publisher.known = max(set().union(*entities.values()))
    publisher.snapshot()
    return publisher


def _late(publisher: Publisher, changes: int) -> EntityMapping:
    """A consumer to whom the last so many changes come before the snapshot."""
    published = publisher.published
    return _consumer([*published[-changes:], *published[:-changes]])


def test_a_snapshot_is_followed_past_a_split() -> None:
    """Whom the split names is where it says; whom it does not name stays, and goes on with the entity."""
    publisher = _of({label(1): {1, 2, 3}, label(4): {4}})
    publisher.entities = {label(1): {1}, label(4): {2, 3, 4}}
    publisher.say_apart(label(1), [(label(1), {1}), (label(2), {2, 3})])
    publisher.say_merged(label(4), label(2))
    assert _late(publisher, 3).as_dict() == publisher.mapping()


def test_an_id_that_a_split_gave_back_does_not_lead_away() -> None:
    """A former id may come back for a part, and merge elsewhere: those who stayed behind do not follow."""
    publisher = _of({label(1): {1, 5}, label(2): {2}, label(3): {3}})
    publisher.say_merged(label(2), label(1))
    publisher.say_apart(label(2), [(label(2), {2, 5}), (label(1), {1})])
    publisher.say_merged(label(3), label(1))
    publisher.entities = {label(2): {2, 5}, label(3): {1, 3}}
    assert _late(publisher, 3).as_dict() == publisher.mapping()


@pytest.mark.parametrize("way_out", [Publisher.erase, Publisher.quarantine])
def test_what_was_taken_out_does_not_come_back_with_a_late_snapshot(
    way_out: Callable[[Publisher], None],
) -> None:
    """A snapshot that names it as of before is older, however late it arrives."""
    publisher = _of({label(1): {1}})
    way_out(publisher)
    assert _late(publisher, 1).as_dict() == {}
    assert _consumer(publisher.published).as_dict() == {}


def test_an_erased_identifier_that_had_moved_does_not_come_back_either() -> None:
    """The snapshot names its former entity, which lives on; the one it was erased with is another."""
    publisher = _of({label(1): {1, 2}})
    publisher.say_apart(label(1), [(label(1), {1}), (label(2), {2})])
    publisher.say_erased(label(2), [2], ())
    publisher.entities = {label(1): {1}}
    assert _late(publisher, 2).as_dict() == publisher.mapping()


def test_an_erasure_does_not_take_along_what_is_there_by_mistake() -> None:
    """A consumer with a gap may hold an identifier where it no longer is; the snapshot puts that right."""
    publisher = Publisher(Random(0))
    publisher.create()
    publisher.create()
    for number in (1, 2):  # of which the consumer never hears
        publisher.say_apart(label(number), [(label(3 - number), {number})])
    missed = publisher.published[2:]
    publisher.entities = {label(1): {2}, label(2): {1}}
    publisher.snapshot()
    publisher.entities = {label(2): {1}}
    ended = publisher.published.pop()
    publisher.say_erased(label(1), [2], ())
    late_end = ended.model_copy(update={"number": publisher.number})
    heard = [each for each in publisher.published if each not in missed]
    assert _consumer([*heard, late_end]).as_dict() == publisher.mapping()


@pytest.mark.parametrize("seed", range(20))
def test_a_consumer_remembers_no_name_of_what_was_erased(seed: int) -> None:
    """Neither what it shows nor what it keeps for itself names an identifier that is gone."""
    publisher = Publisher(Random(seed))
    for _ in range(60):
        publisher.step()
    mapping = _consumer(publisher.published)
    kept = repr(vars(mapping))
    for gone in publisher.erased | publisher.quarantined:
        assert f"'user_id', '{gone}'" not in kept


@pytest.mark.parametrize("seed", range(60))
def test_a_consumer_of_redacted_changes_is_right(seed: int) -> None:
    """Some copies were sent before an erasure, some after, without the names: the answer is the same.

    Where one hides that an identifier left an entity, a snapshot follows.
    """
    random, publisher = Random(seed), Publisher(Random(seed))
    for _ in range(60):
        publisher.step()
    names = {str(each) for each in publisher.erased}

    def is_erased(_: EntityType, named: NamedIdentifier) -> bool:
        return named.value in names

    changes = [each for each in publisher.published if isinstance(each, Change)]
    late = {each.number for each in changes if random.random() < 0.5}
    sent = [redacted(each, is_erased) if each.number in late else each for each in changes]
    if any(each.number in late and hides_departure(each, is_erased) for each in changes):
        publisher.snapshot()
    snapshot = [each for each in publisher.published if isinstance(each, Snapshot)]
    mapping = _consumer(_shuffled(random, [*sent, *snapshot]))
    assert mapping.as_dict() == publisher.mapping()
    assert_profiles(mapping, publisher)
    assert mapping.missing == ()


def test_a_snapshot_lets_go_of_what_only_an_older_one_could_ask_for() -> None:
    """The memory of merges and of what was taken out ends with the next snapshot."""
    publisher = _of({label(1): {1}, label(2): {2}, label(3): {3}})
    publisher.merge()
    publisher.erase()
    publisher.erase()
    before = _consumer(publisher.published)
    publisher.snapshot()
    after = _consumer(publisher.published)
    assert (bool(before._became), bool(before._gone)) == (True, True)
    assert (bool(after._became), bool(after._gone)) == (False, False)


def test_a_later_change_wins_over_a_snapshot() -> None:
    """What a change names after a page was taken, the page does not take back."""
    publisher = Publisher(Random(0))
    publisher.create()
    publisher.snapshot()
    moved = publisher.published[0].model_copy(update={"number": 2, "entity_id": label(9)})
    mapping = _consumer([publisher.published[0], moved, *publisher.published[1:]])
    assert mapping.entity_of("person", "user_id", "1") == label(9)


def test_an_older_generation_is_not_listened_to() -> None:
    """Late messages of a past that was taken back change nothing."""
    old, new = Publisher(Random(0)), Publisher(Random(0), generation=2)
    old.create()
    old.create()
    new.create()
    mapping = _consumer([old.published[0], new.published[0], old.published[1]])
    assert mapping.as_dict() == new.mapping()


def test_a_raised_generation_keeps_what_is_known() -> None:
    """The mapping goes on while the numbers start over."""
    old, new = Publisher(Random(0)), Publisher(Random(0), generation=2)
    old.create()
    old.create()
    new.create()
    mapping = _consumer(old.published + new.published)
    assert mapping.as_dict() == old.mapping()
    assert (mapping.generation, mapping.number) == (2, 1)


def test_an_incomplete_snapshot_does_nothing() -> None:
    """As long as one message is missing nothing is set and nothing is dropped."""
    publisher = Publisher(Random(0))
    for _ in range(9):
        publisher.create()
    start = len(publisher.published)
    publisher.snapshot()
    for left_out in range(start, len(publisher.published)):
        partly = [
            each for place, each in enumerate(publisher.published) if place >= start and place != left_out
        ]
        assert _consumer(partly).as_dict() == {}
    assert _consumer(publisher.published[start:]).as_dict() == publisher.mapping()


def test_an_aborted_snapshot_is_forgotten_with_the_next() -> None:
    """A publisher that was killed starts a new snapshot, and the half of the old one costs nothing."""
    publisher = Publisher(Random(0))
    for _ in range(9):
        publisher.create()
    publisher.snapshot()
    aborted = publisher.published[9:-1]
    publisher.snapshot()
    whole = publisher.published[len(aborted) + 10 :]
    mapping = _consumer([*aborted, *whole])
    for late in [*whole, *aborted]:
        mapping.apply(late)
    assert mapping.as_dict() == publisher.mapping()
    assert mapping._snapshots == {}


def test_missing_numbers_are_listed_up_to_a_thousand() -> None:
    """A consumer that joined at number ten million is told so in bounded time."""
    publisher = Publisher(Random(0))
    publisher.create()
    late = publisher.published[0].model_copy(update={"number": 10_000_000})
    mapping = _consumer([late])
    assert mapping.missing == tuple(range(1, 1001))
