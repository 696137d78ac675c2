"""The lives that customers lead, and what a resolver can learn from them."""

import pytest

from demo_producer import records
from demo_producer.chance import Chance
from demo_producer.customers import customer
from demo_producer.lives import FULL_STORY, LIVES, Life, life_of
from demo_producer.moments import Moment
from tests.demo_producer.components import Components
from tests.demo_producer.decoding import person_of

AT_MS = 1_767_600_000_000


def _told(life: Life) -> list[tuple[int, int]]:
    """After each step of a life: how many entities there are, and how many disappeared by the step."""
    components = Components()
    moment = Moment(AT_MS, Chance("told"))
    history = []
    for step in life.steps:
        united = components.unite(person_of(step.action(customer(1, 5), moment)).identifiers)
        history.append((components.count(), united))
    return history


def test_the_full_story_has_three_merges_that_come_late() -> None:
    """A payment, a login on a second device and an alias each unite two entities that stood apart."""
    history = _told(FULL_STORY)
    merges = [number for number, (_, united) in enumerate(history, 1) if united]
    assert merges == [6, 8, 13]
    assert history[2] == (3, 0)
    assert history[-1] == (1, 1)


def test_every_life_ends_with_one_person() -> None:
    """By the last step of a life all its identifiers are connected."""
    for life in LIVES:
        assert _told(life)[-1][0] == 1, life.name


@pytest.mark.parametrize("number", [6, 7], ids=["with a telephone", "without"])
def test_every_step_brings_a_link_and_doing_it_again_brings_none(number: int) -> None:
    """No step names a set of identifiers that was named before; its repetitions name no other."""
    somebody, moment = customer(1, number), Moment(AT_MS, Chance("links"))
    for life in LIVES:
        links = set()
        for step in life.steps:
            link, *again = (
                frozenset(person_of(action(somebody, moment)).identifiers)
                for action in (step.action, *step.again)
            )
            assert link not in links, life.name
            links.add(link)
            assert set(again) <= links, life.name


def test_customers_lead_lives_by_their_weights() -> None:
    """One customer in four lives the full story."""
    lives = [life_of(customer(1, number), LIVES).name for number in range(2_000)]
    assert 0.2 < lives.count("full story") / len(lives) < 0.3


def test_companies_have_several_members() -> None:
    """Some company is named by the group calls of more than one customer."""
    members: dict[int, set[int | None]] = {}
    for record in records(count=4_000):
        if record.company is not None:
            members.setdefault(record.company, set()).add(record.customer)
    assert max(map(len, members.values())) > 1
