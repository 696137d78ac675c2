"""Who does what, and when, in the journey: ten companies with a shop, and five people in each.

Seat 0 is the owner's, and each owner has a plot. The four others of a company lead ordinary lives, of which
chance decides the days.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from demo_producer.chance import Chance
from demo_producer.customers import EMPLOYEES, Customer, customer
from demo_producer.deeds import (
    Deed,
    asks,
    becomes_payer,
    cancels,
    changes_plan,
    fails_to_pay,
    has_met,
    installs,
    is_answered,
    is_called_off,
    is_invited,
    looks_around,
    makes_first_report,
    opens,
    pays,
    pays_for_three,
    signs_in,
    signs_in_elsewhere,
    signs_in_from_home,
    starts_trial,
    uninstalls,
    uses,
)

DAYS = 90
COMPANIES, SEATS = 10, 5
_TEAM = (0, 1, 2, 3)  # who has an address at the company


class Step(NamedTuple):
    """Something that happens, so many days and hours from the beginning; it comes in `late` days after."""

    day: float
    hour: float
    deed: Deed
    late: float = 0.0


class Part(NamedTuple):
    """What the journey calls a customer by, the customer's number, and what happens to them."""

    name: str
    number: int
    told: str

    def played_by(self, seed: int) -> Customer:
        """Who that is in the journey of a seed."""
        return customer(seed, self.number)


def _owner(company: int) -> int:
    return company * EMPLOYEES


PARTS = (
    Part("settled", _owner(0), "installs, sets up, pays, asks once, is answered, takes more seats"),
    Part("joined", _owner(1), "is two, a shop's owner by mail and a user by id, until signing in"),
    Part("declined", _owner(2), "pays until the card is declined, and again six days later"),
    Part("churned", _owner(3), "asks twice, cancels the subscription and throws the app out"),
    Part("slow", _owner(4), "installs and gives up; a meeting later there is a first report after all"),
    Part("dormant", _owner(5), "stays away for 45 days, and comes back"),
    Part("offline", _owner(6), "works without a network, and a declined card is told of days too late"),
    Part("rescheduled", _owner(8), "has a meeting called off and another one agreed on"),
    Part("abandoned", _owner(9), "installs a day before the end, and leaves it at that"),
    Part("waiting", _owner(7) + 1, "has asked, and has no answer yet"),
)
"""The customers whose story is told, and what it calls them."""


def numbers() -> tuple[int, ...]:
    """The numbers of all fifty customers."""
    return tuple(_owner(company) + seat for company in range(COMPANIES) for seat in range(SEATS))


def steps(seed: int, number: int) -> Iterator[Step]:
    """All that a customer does, in no order."""
    company, seat = divmod(number, EMPLOYEES)
    chance = Chance("journey", seed, "days", number)
    if seat == 0:
        yield from _PLOTS[company]
    elif company == COMPANIES - 1:
        yield from _asking_first(seat, chance)
    else:
        yield from _ordinary(seat, int(_PLOTS[company][0].day) + 1, chance)
        if number == _part("waiting").number:
            yield Step(88, 2, asks("The export"))


def _part(name: str) -> Part:
    return next(part for part in PARTS if part.name == name)


# the owners


def _beginning(day: int) -> tuple[Step, ...]:
    """The app is installed, and the owner signs in at once."""
    return Step(day, 0, installs), Step(day, 0.25, signs_in)


def _paying(day: int, *, until: int = DAYS) -> tuple[Step, ...]:
    """A trial of two weeks, then a month at a time."""
    trial = Step(day, 5.5, becomes_payer), Step(day, 6, starts_trial)
    return *trial, *(Step(each, 6, pays) for each in range(day + 14, until, 30))


def _using(*days: int) -> tuple[Step, ...]:
    return tuple(Step(day, 5, uses) for day in days)


_PLOTS: tuple[tuple[Step, ...], ...] = (  # each begins with the installation
    (  # settled
        *_beginning(0),
        Step(0, 5, makes_first_report),
        *_paying(0, until=40),
        Step(44, 6, pays_for_three),
        Step(74, 6, pays_for_three),
        Step(2, 1, is_invited("Getting started", (0,), 96)),
        Step(6, 2, has_met("Getting started", (0,), -1)),
        Step(20, 1, asks("The date range")),
        Step(20, 4, is_answered("The date range")),
        Step(30, 0, changes_plan),
        *_using(*range(4, 90, 5)),
    ),
    (  # joined
        Step(5, 0, installs),
        Step(5, 0.5, opens),
        Step(5, 3, makes_first_report),
        *_paying(5),
        Step(8, 1, signs_in),
        *_using(*range(12, 90, 6)),
    ),
    (  # declined
        *_beginning(3),
        Step(3, 2, makes_first_report),
        *_paying(3, until=40),
        Step(47, 6, fails_to_pay),
        Step(50, 6, fails_to_pay),
        Step(52, 1, asks("The invoice")),
        Step(52, 3, is_answered("The invoice")),
        Step(53, 2, pays),
        Step(77, 6, pays),
        *_using(*range(8, 90, 5)),
    ),
    (  # churned
        *_beginning(1),
        Step(1, 2, makes_first_report),
        *_paying(1, until=46),
        *_using(*range(5, 60, 6)),
        Step(55, 1, asks("Numbers that differ")),
        Step(55, 8, is_answered("Numbers that differ")),
        Step(57, 1, asks("Numbers that differ")),
        Step(57, 2, is_answered("Numbers that differ")),
        Step(60, 3, cancels),
        Step(60, 4, uninstalls),
    ),
    (  # slow
        *_beginning(10),
        Step(12, 2, is_invited("Setup together", (0,), 71)),
        Step(15, 2, has_met("Setup together", (0,), -1)),
        Step(15, 3, makes_first_report),
        *_paying(15),
        *_using(*range(19, 90, 7)),
    ),
    (  # dormant
        *_beginning(2),
        Step(2, 2, makes_first_report),
        *_paying(2),
        *_using(7, 13, 19, 25),
        *_using(*range(70, 90, 4)),
    ),
    (  # offline
        *_beginning(4),
        Step(4, 3, makes_first_report, late=2),
        *_paying(4, until=30),
        Step(48, 6, fails_to_pay, late=5),
        Step(50, 6, pays),
        Step(80, 6, pays),
        *_using(*range(9, 90, 6)),
    ),
    (  # an owner of whom nothing in particular is told
        *_beginning(6),
        Step(6, 1, makes_first_report),
        *_paying(6),
        *_using(*range(10, 90, 6)),
    ),
    (  # rescheduled
        *_beginning(8),
        Step(8, 2, makes_first_report),
        *_paying(8),
        Step(30, 1, is_invited("Review", _TEAM, 144)),
        Step(33, 1, is_called_off("Review", _TEAM, 72)),
        Step(34, 1, is_invited("Review, again", _TEAM, 145)),
        Step(40, 3, has_met("Review, again", _TEAM, -1)),
        *_using(*range(12, 90, 7)),
    ),
    (*_beginning(89),),  # abandoned
)


# everybody else


def _ordinary(seat: int, begin: int, chance: Chance) -> Iterator[Step]:
    """The life of a colleague, from the day after the installation on."""
    if seat == 1:  # a stranger at first
        yield Step(begin, chance.share(), looks_around)
        yield Step(begin, 2 + chance.share(), signs_in)
    elif seat == 2:  # at two devices, and in trouble once
        yield Step(begin, 3 + chance.share(), signs_in)
        yield Step(begin + 2, chance.share(), signs_in_elsewhere)
        yield from _ticket(begin + 5 + chance.below(20), "The login", chance, copies=(0, 1))
    elif seat == 3:  # somebody who never opens the app
        yield from _meets(begin + 3 + chance.below(10), chance)
        yield from _ticket(begin + 20 + chance.below(40), "The contract", chance)
    else:  # a free-lancer, with an address at home
        yield Step(begin, 4 + chance.share(), signs_in_from_home)
        yield from _ticket(begin + 8 + chance.below(30), "The password", chance, at_home=True)
    if seat != 3:
        yield from _keeps_using(begin + 3, chance)


def _asking_first(seat: int, chance: Chance) -> Iterator[Step]:
    """The colleagues of who installs at the very end ask before; nobody of them has an account."""
    if seat == 1:
        yield from _meets(80 + chance.below(4), chance, seats=(1, 2, 3))
    yield from _ticket(76 + chance.below(8), "A question before we buy", chance, at_home=seat == 4)


def _keeps_using(day: int, chance: Chance) -> Iterator[Step]:
    while day < DAYS - 2:
        yield Step(day, 10 * chance.share(), uses)
        day += 3 + chance.below(6)


def _ticket(
    day: int, topic: str, chance: Chance, *, copies: tuple[int, ...] = (), at_home: bool = False
) -> Iterator[Step]:
    yield Step(day, chance.share(), asks(topic, copies, from_home=at_home))
    yield Step(day, 2 + 5 * chance.share(), is_answered(topic, copies, at_home=at_home))


def _meets(day: int, chance: Chance, seats: tuple[int, ...] = (3,)) -> Iterator[Step]:
    """A meeting three days after the invitation."""
    hour = chance.share()
    yield Step(day, hour, is_invited("A first look", seats, 72))
    yield Step(day + 3, hour + 1, has_met("A first look", seats, -1))
