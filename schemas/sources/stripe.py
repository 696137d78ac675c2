"""Stripe webhooks: whatever event has a customer in its object.

**Who.** One person, the object's customer, known by `stripe_customer_id`, `email` and `phone`. They stand in
the customer object itself, or in the object as `customer` (an id, or the customer expanded),
`customer_email`, `customer_phone`, `customer_details`, `billing_details`, and the `billing_details` of the
charges inside a payment intent. In a dispute the address stands in the evidence. A nested object that names
another customer (a card that moved between accounts) is never read: it would link two strangers. Nor are
former values and free text.

**When.** `created` of the event: that of the object can be years away.

**What.** The amounts as measurements, in major units of their currency.

A webhook may come as a row of a table, with the object as text in `data` and the time as text.

Events of objects without a customer, such as payouts, concern nobody and are skipped.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import NOBODY, Draft, assemble
from schemas.errors import BadMessage
from schemas.events import Decoded, Json, Measurement, Message
from schemas.identifiers import MakeIdentifier
from schemas.rows import from_row
from schemas.validation import refusal

SOURCE = "stripe"

# https://docs.stripe.com/currencies: amounts are in the smallest unit, which is a hundredth but for these.
# UGX has no minor unit, yet Stripe keeps it, and ISK, in hundredths for the sake of older integrations.
_ZERO_DECIMAL = frozenset(
    {
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
    }
)
_THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_AMOUNTS = (
    "amount",
    "amount_captured",
    "amount_due",
    "amount_paid",
    "amount_received",
    "amount_refunded",
    "amount_remaining",
    "amount_subtotal",
    "amount_total",
    "subtotal",
    "total",
)
_LAST_SECOND = 253_402_300_799  # of the year 9999


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class StripeData(_Shape):
    """The object that the event is about, as it was then."""

    object: dict[str, Any]


class StripeEvent(_Shape):
    """The envelope of a webhook; its object differs by type and API version and is read with care."""

    id: Annotated[str, Field(min_length=1)]
    type: Annotated[str, Field(min_length=1)]
    created: Annotated[int, Field(ge=0, le=_LAST_SECOND, description="Seconds since 1970.")]
    data: StripeData


_validate = StripeEvent.__pydantic_validator__.validate_python


class StripeWebhooks:
    """The format `stripe`: a message is one webhook event."""

    name = "stripe"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """One event, or none where the webhook concerns nobody."""
        try:
            webhook: StripeEvent = _validate(_unrowed(payload))
        except ValidationError as error:
            raise refusal(error) from None
        thing = webhook.data.object
        identifiers = list(_identifiers(thing))
        if not identifiers:
            return Decoded((), skipped=NOBODY)
        event = assemble(
            message,
            make,
            event_id=webhook.id,
            source=SOURCE,
            event_name=webhook.type,
            event_type="billing",
            occurred_at_ms=webhook.created * 1000,
            participants=[Draft("person", identifiers, "customer", "customer", _traits(thing))],
            measurements=tuple(_measurements(thing)),
        )
        return Decoded((event,))


def _unrowed(payload: Json) -> Json:
    """The webhook that a row holds, and every other payload as it is."""
    if not isinstance(payload, dict) or not isinstance(payload.get("data"), str):
        return payload
    created = payload.get("created")
    if isinstance(created, str) and created.isascii() and created.isdigit() and len(created) <= 12:
        created = int(created)
    return {**payload, "created": created, "data": {"object": from_row(payload, "data")}}


def _identifiers(thing: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """All that the object says its customer is known by; the same may come twice."""
    if thing.get("object") == "customer":
        yield from _customer(thing)
        return
    customer = thing.get("customer")
    if isinstance(customer, dict):
        yield from _customer(customer)
    elif customer is None or isinstance(customer, str):
        yield from _given("stripe_customer_id", customer)
    else:  # to pass over it would lose a payer without a word
        raise BadMessage("schema", "data.object.customer: must be an id, a customer or null")
    yield from _given("email", thing.get("customer_email"))
    yield from _given("phone", thing.get("customer_phone"))
    yield from _contact(thing.get("customer_details"))
    yield from _contact(thing.get("billing_details"))
    for charge in _own_charges(thing):
        yield from _contact(charge.get("billing_details"))
    if thing.get("object") == "dispute":
        yield from _given("email", _object(thing.get("evidence")).get("customer_email_address"))


def _customer(customer: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    yield from _given("stripe_customer_id", customer.get("id"))
    yield from _contact(customer)


def _contact(holder: object) -> Iterator[tuple[str, str]]:
    details = _object(holder)
    yield from _given("email", details.get("email"))
    yield from _given("phone", details.get("phone"))


def _given(identifier_type: str, value: Json) -> Iterator[tuple[str, str]]:
    """The pair, unless there is no value: Stripe writes null, and in older versions an empty text."""
    if isinstance(value, str) and value:
        yield identifier_type, value


def _own_charges(thing: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    """The charges inside a payment intent that name the same customer as the intent does."""
    listed = _object(thing.get("charges")).get("data")
    charges = [*(listed if isinstance(listed, list) else []), thing.get("latest_charge")]
    customer = _customer_id(thing)
    for charge in charges:
        if isinstance(charge, dict) and _customer_id(charge) == customer:
            yield charge


def _customer_id(thing: Mapping[str, Json]) -> Json:
    customer = thing.get("customer")
    return customer.get("id") if isinstance(customer, dict) else customer


def _traits(thing: Mapping[str, Json]) -> Mapping[str, Json]:
    """The customer's name, where the object itself says it."""
    customer = thing if thing.get("object") == "customer" else _object(thing.get("customer"))
    names = (
        customer.get("name"),
        thing.get("customer_name"),
        _object(thing.get("customer_details")).get("name"),
    )
    return next(({"name": name} for name in names if isinstance(name, str) and name), {})


def _measurements(thing: Mapping[str, Json]) -> Iterator[Measurement]:
    currency = thing.get("currency")
    if (
        not isinstance(currency, str)
        or not currency.isascii()
        or not currency.isalpha()
        or len(currency) != 3
    ):
        return
    unit = currency.upper()
    for name in _AMOUNTS:
        amount = thing.get(name)
        if isinstance(amount, int) and not isinstance(amount, bool) and abs(amount) < 2**53:
            yield Measurement(name, _major(amount, unit), unit)


def _major(amount: int, unit: str) -> float:
    """2999 in USD is 29.99, in JPY 2999, in KWD 2.999."""
    if unit in _ZERO_DECIMAL:
        return float(amount)
    return amount / (1000 if unit in _THREE_DECIMAL else 100)


def _object(value: object) -> Mapping[str, Json]:
    return cast(dict[str, Json], value) if isinstance(value, dict) else {}
