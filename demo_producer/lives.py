"""What customers do with a shop, step by step, and what each step lets the resolver learn.

A life is a list of steps. Every step says something that no event has said before: it brings one *link*, a
set of identifiers that belong together. Between the steps a customer does what they did before (`again`),
which says nothing new. A life that is over has connected all its identifiers: its customer must be one person
by then.

The full story, told by one customer in four:

1. A stranger looks around on a laptop, and on a phone: two anonymous visitors.
2. Stripe tells of a subscription, and names nobody but its own customer: a third.
3. The stranger signs up on the laptop: the first visitor gets an account and an address.
4. Stripe tells of a payment with the same address: the third visitor turns out to be the first (a merge).
5. The account turns up in a company, and somebody logs in on the phone: the second visitor, too (a merge).
6. The address changes, in the app and later at Stripe.
7. A tablet still uses the account of an older app: one more stranger, until an alias joins the two (a merge).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from demo_producer import segment, stripe
from demo_producer.calls import Call, Format
from demo_producer.customers import Customer
from demo_producer.moments import Moment

Action = Callable[[Customer, Moment], Call]


@dataclass(frozen=True, slots=True)
class Step:
    """Something a customer does for the first time, and ways to do it again that name the same
    identifiers.
    """

    format: Format
    action: Action
    again: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Life:
    """The steps of one kind of customer; `weight` is how many of a hundred customers are of that kind."""

    name: str
    weight: int
    steps: tuple[Step, ...]

    def within(self, formats: frozenset[Format]) -> Life:
        """The same life as far as these sources hear of it."""
        return Life(self.name, self.weight, tuple(step for step in self.steps if step.format in formats))


def _look_around(device: int) -> Step:
    page, track = partial(segment.page, device=device), partial(segment.track, device=device)
    return Step("segment", page, (page, page, track))


def _identify(device: int, email: int) -> Step:
    identify = partial(segment.identify, device=device, email=email)
    return Step("segment", identify, (identify,))


def _as_user(user: int, call: Callable[..., Call], device: int) -> Action:
    def act(customer: Customer, moment: Moment) -> Call:
        return call(customer, moment, device, customer.user_ids[user])

    return act


def _work_signed_in(device: int) -> Step:
    page, track = _as_user(0, segment.page, device), _as_user(0, segment.track, device)
    return Step("segment", page, (page, track, track))


def _use_old_app(device: int) -> Step:
    screen = _as_user(1, segment.screen, device)
    return Step("segment", screen, (screen,))


def _pay(email: int) -> Step:
    calls = stripe.checkout_completed, stripe.invoice_paid, stripe.charge_succeeded, stripe.customer_updated
    first, *others = (partial(call, email=email) for call in calls)
    return Step("stripe", first, tuple(others))


def _change_payer(email: int) -> Step:
    calls = stripe.customer_updated, stripe.invoice_paid, stripe.charge_succeeded
    first, *others = (partial(call, email=email) for call in calls)
    return Step("stripe", first, tuple(others))


_SUBSCRIBE = Step(
    "stripe", stripe.subscription_created, (stripe.subscription_updated, stripe.payment_intent_succeeded)
)
_JOIN_COMPANY = Step("segment", segment.group, (segment.group, segment.billed, segment.billed))
_BE_INVITED = Step("segment", segment.invite, (segment.invite,))
_ALIAS = Step("segment", segment.alias, (segment.alias,))

FULL_STORY = Life(
    "full story",
    25,
    (
        _look_around(0),
        _look_around(1),
        _SUBSCRIBE,
        _identify(0, 0),
        _work_signed_in(0),
        _pay(0),
        _JOIN_COMPANY,
        _identify(1, 0),
        _work_signed_in(1),
        _identify(0, 1),
        _change_payer(1),
        _use_old_app(2),
        _ALIAS,
    ),
)

LIVES = (
    FULL_STORY,
    Life("visitor", 30, (_look_around(0),)),
    Life("pays first", 15, (_pay(0), _look_around(0), _identify(0, 0), _work_signed_in(0))),
    Life("other card", 10, (_look_around(0), _identify(0, 0), _SUBSCRIBE, _pay(2), _identify(0, 2))),
    Life("older app", 10, (_use_old_app(2), _look_around(0), _identify(0, 0), _JOIN_COMPANY, _ALIAS)),
    Life("colleague", 10, (_BE_INVITED, _JOIN_COMPANY, _look_around(0), _work_signed_in(0))),
)


def life_of(customer: Customer, lives: tuple[Life, ...]) -> Life:
    """The life that a customer leads: of those given, by their weights."""
    place = (customer.luck >> 16) % sum(life.weight for life in lives)
    for life in lives:
        place -= life.weight
        if place < 0:
            return life
    raise AssertionError("a place below the sum of the weights lies within one of them")


def signed_in(customer: Customer, moment: Moment, device: int) -> Call:
    """Somebody signed in whose cookies were cleared, so that their device looks like a new one."""
    return segment.page(customer, moment, device, customer.user_ids[0])


def has_account(life: Life) -> bool:
    """Whether the customer has an account and so can be recognised on another device."""
    return any(step.format == "segment" for step in life.steps) and life.name != "visitor"
