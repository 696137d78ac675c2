"""Stripe webhooks in the shape that Stripe sends them, cut down to the fields that somebody would read.

A payer is known by the Stripe customer alone (subscriptions, payment intents), or by it together with an
address and, where there is one, a telephone number (customers, invoices, charges, checkout sessions).
"""

from __future__ import annotations

from demo_producer.calls import Call, Payload
from demo_producer.chance import Chance
from demo_producer.customers import Customer, base62
from demo_producer.moments import Moment

API_VERSION = "2024-06-20"
_MONTH_S = 30 * 24 * 3_600
_PRICES = {"usd": 2_900, "eur": 2_700, "gbp": 2_400, "jpy": 4_300}  # a month, in minor units; yen have none


def customer_created(customer: Customer, moment: Moment, email: int) -> Call:
    """The shop makes a Stripe customer."""
    return _webhook("customer.created", customer, moment, _customer(customer, moment, email))


def customer_updated(customer: Customer, moment: Moment, email: int) -> Call:
    """Something about the Stripe customer is changed."""
    called = _webhook("customer.updated", customer, moment, _customer(customer, moment, email))
    called.payload["data"]["previous_attributes"] = {"balance": -100}
    return called


def invoice_paid(customer: Customer, moment: Moment, email: int, seats: int = 1) -> Call:
    """A month is paid for, and for so many seats."""
    return _webhook("invoice.paid", customer, moment, _invoice(customer, moment, email, seats))


def payment_failed(customer: Customer, moment: Moment, email: int) -> Call:
    """The card for a month's invoice is declined."""
    invoice = _invoice(customer, moment, email, is_paid=False)
    return _webhook("invoice.payment_failed", customer, moment, invoice)


def charge_succeeded(customer: Customer, moment: Moment, email: int) -> Call:
    """A card is charged."""
    amount = _price(customer)
    charge = {
        "id": _id("ch", moment.chance),
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "billing_details": {
            "address": None,
            "email": _typed(customer, email),
            "name": customer.name,
            "phone": customer.phone,
        },
        "captured": True,
        "created": moment.at_ms // 1_000,
        "currency": customer.currency,
        "customer": customer.stripe_id,
        "livemode": True,
        "metadata": {},
        "paid": True,
        "payment_method_details": {"card": {"brand": "visa", "last4": "4242"}, "type": "card"},
        "receipt_email": None,
        "status": "succeeded",
    }
    return _webhook("charge.succeeded", customer, moment, charge)


def checkout_completed(customer: Customer, moment: Moment, email: int) -> Call:
    """Somebody pays in the hosted checkout."""
    session = {
        "id": f"cs_live_{base62(moment.chance.bits(240), 40)}",
        "object": "checkout.session",
        "amount_subtotal": _price(customer),
        "amount_total": _price(customer),
        "created": moment.at_ms // 1_000,
        "currency": customer.currency,
        "customer": customer.stripe_id,
        "customer_details": {
            "email": _typed(customer, email),
            "name": customer.name,
            "phone": customer.phone,
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "customer_email": None,
        "livemode": True,
        "metadata": {},
        "mode": "subscription",
        "payment_status": "paid",
        "status": "complete",
        "subscription": _subscription_id(customer),
    }
    return _webhook("checkout.session.completed", customer, moment, session)


def subscription_created(customer: Customer, moment: Moment) -> Call:
    """A subscription starts; only the Stripe customer is named."""
    return _webhook("customer.subscription.created", customer, moment, _subscription(customer, moment))


def trial_started(customer: Customer, moment: Moment) -> Call:
    """A subscription starts with two weeks that cost nothing."""
    trial = _subscription(customer, moment, "trialing")
    return _webhook("customer.subscription.created", customer, moment, trial)


def subscription_deleted(customer: Customer, moment: Moment) -> Call:
    """A subscription has ended."""
    ended = _subscription(customer, moment, "canceled")
    return _webhook("customer.subscription.deleted", customer, moment, ended)


def subscription_updated(customer: Customer, moment: Moment) -> Call:
    """A subscription changes; only the Stripe customer is named."""
    return _webhook("customer.subscription.updated", customer, moment, _subscription(customer, moment))


def payment_intent_succeeded(customer: Customer, moment: Moment) -> Call:
    """Money is on its way; only the Stripe customer is named."""
    intent = {
        "id": _id("pi", moment.chance),
        "object": "payment_intent",
        "amount": _price(customer),
        "amount_received": _price(customer),
        "created": moment.at_ms // 1_000,
        "currency": customer.currency,
        "customer": customer.stripe_id,
        "livemode": True,
        "metadata": {},
        "receipt_email": None,
        "status": "succeeded",
    }
    return _webhook("payment_intent.succeeded", customer, moment, intent)


def _webhook(kind: str, customer: Customer, moment: Moment, subject: Payload) -> Call:
    payload = {
        "id": _id("evt", moment.chance),
        "object": "event",
        "api_version": API_VERSION,
        "created": moment.at_ms // 1_000,
        "data": {"object": subject},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": _id("req", moment.chance), "idempotency_key": None},
        "type": kind,
    }
    return Call("stripe", customer.stripe_id, payload)


def _customer(customer: Customer, moment: Moment, email: int) -> Payload:
    return {
        "id": customer.stripe_id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": moment.at_ms // 1_000,
        "currency": customer.currency,
        "delinquent": False,
        "description": None,
        "email": _typed(customer, email),
        "livemode": True,
        "metadata": {},
        "name": customer.name,
        "phone": customer.phone,
        "preferred_locales": [customer.locale],
    }


def _invoice(
    customer: Customer, moment: Moment, email: int, seats: int = 1, *, is_paid: bool = True
) -> Payload:
    amount, at = seats * _price(customer), moment.at_ms // 1_000
    return {
        "id": _id("in", moment.chance),
        "object": "invoice",
        "amount_due": amount,
        "amount_paid": amount if is_paid else 0,
        "amount_remaining": 0 if is_paid else amount,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": at,
        "currency": customer.currency,
        "customer": customer.stripe_id,
        "customer_email": _typed(customer, email),
        "customer_name": customer.name,
        "customer_phone": customer.phone,
        "livemode": True,
        "metadata": {},
        "number": f"{moment.chance.hex(8).upper()}-0001",
        "paid": is_paid,
        "period_end": at,
        "period_start": at - _MONTH_S,
        "status": "paid" if is_paid else "open",
        "subscription": _subscription_id(customer),
        "total": amount,
    }


def _subscription(customer: Customer, moment: Moment, status: str = "active") -> Payload:
    at = moment.at_ms // 1_000
    price = {
        "id": f"price_{customer.currency}_monthly",
        "object": "price",
        "currency": customer.currency,
        "recurring": {"interval": "month", "interval_count": 1},
        "unit_amount": _price(customer),
    }
    return {
        "id": _subscription_id(customer),
        "object": "subscription",
        "cancel_at_period_end": False,
        "created": at,
        "currency": customer.currency,
        "current_period_end": at + _MONTH_S,
        "current_period_start": at,
        "customer": customer.stripe_id,
        "items": {
            "object": "list",
            "data": [{"id": _id("si", moment.chance), "price": price, "quantity": 1}],
        },
        "livemode": True,
        "metadata": {},
        "status": status,
    }


def _price(customer: Customer) -> int:
    return _PRICES[customer.currency] * (1 + customer.luck % 3)


def _subscription_id(customer: Customer) -> str:
    return f"sub_{customer.stripe_id.removeprefix('cus_')}"


def _typed(customer: Customer, email: int) -> str:
    """An address as somebody types it into a form; every fourth begins with a capital or ends in a blank."""
    address = customer.emails[email]
    return (address.capitalize(), f"{address} ", address, address)[(customer.luck >> 8) % 4 if email else 2]


def _id(prefix: str, chance: Chance) -> str:
    return f"{prefix}_1{base62(chance.bits(128), 20)}"
