"""Stripe webhooks: whose they are, when, and how much."""

from typing import Any

import pytest

from schemas.decode import decode
from tests.schemas.messages import NOW_MS, as_bytes, decode_one, message, names, problem_of


def webhook(thing: Any, kind: str = "invoice.paid", **fields: Any) -> dict[str, Any]:
    """A webhook about this object; a field set to `...` is left out."""
    whole = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "created": 1_767_600_000,
        "data": {"object": thing},
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ...}


_CUSTOMER = {
    "id": "cus_7",
    "object": "customer",
    "email": "Ada@acme.test",
    "phone": "+1 201-555-0123",
    "name": "Ada",
    "created": 5,
}
_BILLING = {"email": "b@acme.test", "phone": "+12015550123", "name": "B"}


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (_CUSTOMER, {"stripe_customer_id=cus_7", "email=ada@acme.test", "phone=+12015550123"}),
        ({**_CUSTOMER, "email": None, "phone": ""}, {"stripe_customer_id=cus_7"}),
        (
            {
                **_CUSTOMER,
                "sources": {"data": [{"customer": "cus_8", "email": "x@acme.test"}]},
                "shipping": {"phone": "+12015550199"},
            },
            {"stripe_customer_id=cus_7", "email=ada@acme.test", "phone=+12015550123"},
        ),
        ({"object": "subscription", "customer": "cus_7"}, {"stripe_customer_id=cus_7"}),
        (
            {"object": "subscription", "customer": _CUSTOMER},
            {"stripe_customer_id=cus_7", "email=ada@acme.test", "phone=+12015550123"},
        ),
        (
            {
                "object": "invoice",
                "customer": "cus_7",
                "customer_email": "a@acme.test",
                "customer_phone": None,
            },
            {"stripe_customer_id=cus_7", "email=a@acme.test"},
        ),
        (
            {
                "object": "checkout.session",
                "customer": None,
                "customer_details": {"email": "a@acme.test", "phone": None},
            },
            {"email=a@acme.test"},
        ),
        (
            {"object": "charge", "customer": None, "billing_details": _BILLING},
            {"email=b@acme.test", "phone=+12015550123"},
        ),
        (
            {
                "object": "charge",
                "customer": "cus_7",
                "receipt_email": "books@acme.test",
                "description": "for x@acme.test",
            },
            {"stripe_customer_id=cus_7"},
        ),
        (
            {"object": "payment_method", "customer": "cus_7", "billing_details": _BILLING},
            {"stripe_customer_id=cus_7", "email=b@acme.test", "phone=+12015550123"},
        ),
        (
            {
                "object": "payment_intent",
                "customer": "cus_7",
                "charges": {"data": [{"customer": "cus_7", "billing_details": _BILLING}]},
            },
            {"stripe_customer_id=cus_7", "email=b@acme.test", "phone=+12015550123"},
        ),
        (
            {
                "object": "payment_intent",
                "customer": _CUSTOMER,
                "latest_charge": {"customer": "cus_7", "billing_details": _BILLING},
            },
            {"stripe_customer_id=cus_7", "email=ada@acme.test", "email=b@acme.test", "phone=+12015550123"},
        ),
        (
            {
                "object": "payment_intent",
                "customer": "cus_7",
                "charges": {"data": [{"customer": "cus_8", "billing_details": _BILLING}]},
            },
            {"stripe_customer_id=cus_7"},
        ),
        (
            {
                "object": "payment_intent",
                "customer": "cus_7",
                "charges": {"data": [{"billing_details": _BILLING}]},
                "latest_charge": "ch_1",
            },
            {"stripe_customer_id=cus_7"},
        ),
        (
            {
                "object": "dispute",
                "evidence": {"customer_email_address": "a@acme.test", "customer_name": "x@acme.test"},
            },
            {"email=a@acme.test"},
        ),
        (
            {"object": "discount", "customer": "cus_7", "metadata": {"email": "x@acme.test", "user_id": "7"}},
            {"stripe_customer_id=cus_7"},
        ),
    ],
)
def test_whom_a_webhook_names(thing: dict[str, Any], expected: set[str]) -> None:
    """The customer is found wherever Stripe writes it; other customers and free text are left alone."""
    assert names(decode_one(webhook(thing), "stripe")) == expected


@pytest.mark.parametrize(
    "thing",
    [
        {"object": "payout", "amount": 100, "currency": "usd"},
        {"object": "checkout.session", "customer": None, "customer_details": None, "customer_email": None},
        {"object": "payment_method", "customer": None, "billing_details": {"email": None, "phone": None}},
        {"id": "cus_7"},
        {"object": "charge", "customer": {}, "customer_email": 7, "billing_details": []},
        {},
    ],
)
def test_a_webhook_about_nobody_is_skipped(thing: dict[str, Any]) -> None:
    """Money that moves without a customer is neither an event nor a dead letter."""
    decoded = decode(
        message(
            as_bytes(webhook(thing, data={"object": thing, "previous_attributes": {"customer": "cus_7"}}))
        ),
        "stripe",
    )
    assert (decoded.events, decoded.problem) == ((), None)
    assert decoded.skipped == "no person or group in it"


def test_an_event_is_the_webhooks_own() -> None:
    """Id, type and time are the envelope's, not those of the object."""
    event = decode_one(webhook(_CUSTOMER, "customer.updated"), "stripe")
    assert (event.source, event.event_id, event.event_name, event.event_type) == (
        "stripe",
        "evt_1",
        "customer.updated",
        "billing",
    )
    assert event.occurred_at_ms == 1_767_600_000_000
    assert event.ingested_at_ms == NOW_MS


@pytest.mark.parametrize(
    ("thing", "traits"),
    [
        (_CUSTOMER, {"name": "Ada"}),
        ({"customer": "cus_7", "customer_name": "Ada"}, {"name": "Ada"}),
        ({"customer": "cus_7", "customer_details": {"name": "Ada"}}, {"name": "Ada"}),
        ({"customer": "cus_7", "name": "A product", "billing_details": _BILLING}, {}),
    ],
)
def test_the_customers_name_is_a_trait(thing: dict[str, Any], traits: dict[str, Any]) -> None:
    """The name of the customer, not that on a card."""
    assert decode_one(webhook(thing), "stripe").participants[0].traits == traits


@pytest.mark.parametrize(
    ("currency", "amount", "value"),
    [
        ("usd", 2999, 29.99),
        ("EUR", -5, -0.05),
        ("jpy", 2999, 2999.0),
        ("clp", 1, 1.0),
        ("kwd", 2990, 2.99),
        ("ugx", 500, 5.0),
        ("isk", 500, 5.0),
        ("huf", 500, 5.0),
    ],
)
def test_amounts_are_in_major_units(currency: str, amount: int, value: float) -> None:
    """Cents are hundredths, but some currencies have none and some have thousandths."""
    event = decode_one(webhook({"customer": "cus_7", "currency": currency, "amount_paid": amount}), "stripe")
    assert [(each.name, each.value, each.unit) for each in event.measurements] == [
        ("amount_paid", value, currency.upper())
    ]


@pytest.mark.parametrize(
    ("currency", "amount"),
    [
        (None, 1),
        ("", 1),
        ("dollars", 1),
        ("üsd", 1),
        (7, 1),
        ("usd", "1"),
        ("usd", True),
        ("usd", None),
        ("usd", 1.5),
        ("usd", 2**53),
    ],
)
def test_what_is_no_amount_is_left_out(currency: Any, amount: Any) -> None:
    """An amount without a currency, or one that is no whole number of minor units, measures nothing."""
    assert (
        decode_one(
            webhook({"customer": "cus_7", "currency": currency, "total": amount}), "stripe"
        ).measurements
        == ()
    )


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (webhook(_CUSTOMER, id=...), "id"),
        (webhook(_CUSTOMER, id=7), "id"),
        (webhook(_CUSTOMER, type=None), "type"),
        (webhook(_CUSTOMER, created=...), "created"),
        (webhook(_CUSTOMER, created="1767600000"), "created"),
        (webhook(_CUSTOMER, created=-1), "created"),
        (webhook(_CUSTOMER, created=10**12), "created"),
        (webhook(_CUSTOMER, data=...), "data"),
        (webhook([]), "data.object"),
        (webhook(None), "data.object"),
        (_CUSTOMER, "type"),
    ],
)
def test_what_is_no_webhook(payload: dict[str, Any], path: str) -> None:
    """Without its envelope an object is nothing that happened."""
    problem = problem_of(payload, "stripe")
    assert (problem.reason, problem.detail.split(":")[0]) == ("schema", path)


def test_a_customer_with_nothing_usable_is_a_dead_letter() -> None:
    """Values that are all rejected leave nobody."""
    assert (
        problem_of(webhook({"customer": " ", "customer_email": "nobody"}), "stripe").reason
        == "no-participants"
    )


@pytest.mark.parametrize("customer", [7, True, ["cus_7"]])
def test_a_customer_of_a_wrong_type_is_a_dead_letter(customer: Any) -> None:
    """A payer who cannot be read is not passed over in silence."""
    problem = problem_of(webhook({"object": "subscription", "customer": customer}), "stripe")
    assert (problem.reason, "customer" in problem.detail) == ("schema", True)
