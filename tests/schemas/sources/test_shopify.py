"""Shopify webhooks and shop records: the shop, its owner, its customers."""

import json
from typing import Any

import pytest

from schemas.decode import decode
from schemas.events import Event, Membership
from tests.schemas.messages import NOW_MS, as_bytes, decode_one, message, names, problem_of

_SHOP = {
    "id": 7,
    "name": "Acme",
    "email": "ada@acme.test",
    "domain": "www.acme.test",
    "myshopify_domain": "acme.myshopify.com",
    "shop_owner": "Ada",
    "plan_name": "basic",
    "phone": "+12015550123",
    "created_at": "2020-01-05T08:00:00Z",
    "updated_at": "2026-01-05T08:00:00Z",
}
_CUSTOMER = {
    "id": 42,
    "email": "bob@hill.test",
    "phone": "+12015550199",
    "first_name": "Bob",
    "last_name": "Hill",
}
_ORDER = {
    "id": 9,
    "email": "b@hill.test",
    "phone": "+12015550177",
    "customer": _CUSTOMER,
    "created_at": "2026-01-05T08:00:00Z",
    "updated_at": "2026-01-05T09:00:00Z",
    "currency": "usd",
    "total_price": "29.99",
    "user_id": 77,
    "shipping_address": {"phone": "+12015550111"},
}
_SHOP_NAMES = {"shop_domain=acme.myshopify.com", "domain=acme.test", "email=ada@acme.test"}


def delivered(topic: str, payload: Any, **headers: str) -> Event:
    """The one event of a delivery whose topic and shop are in its headers."""
    given = {"X-Shopify-Topic": topic, "x-shopify-shop-domain": "acme.myshopify.com", **headers}
    encoded = tuple((name, value.encode()) for name, value in given.items() if value)
    return decode_one(payload, "shopify", headers=encoded)


def test_a_shop_is_a_company_with_an_owner() -> None:
    """Both its domains name the shop, its e-mail names the owner, its phone nobody."""
    event = delivered("shop/update", _SHOP)
    assert names(event) == _SHOP_NAMES
    assert event.memberships == (Membership("owner", "shop", "owner", ended=False),)
    assert [dict(who.traits) for who in event.participants] == [
        {"name": "Ada"},
        {"name": "Acme", "plan_name": "basic"},
    ]
    assert (event.source, event.event_name, event.occurred_at_ms) == (
        "shopify",
        "shop/update",
        1_767_600_000_000,
    )


def test_shops_of_one_platform_are_strangers() -> None:
    """The private section of the public suffix list keeps a.myshopify.com and b.myshopify.com apart."""
    event = delivered("shop/update", {**_SHOP, "myshopify_domain": "other.myshopify.com"})
    shops = [who.identifiers[0].identifier_value for who in event.participants if who.role == "shop"]
    assert shops == ["acme.myshopify.com", "other.myshopify.com"]
    assert event.memberships == (Membership("owner", "shop", "owner", ended=False),)


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("customers/create", _CUSTOMER,
         {"shopify_customer_id=42", "email=bob@hill.test", "phone=+12015550199"}),
        ("customers/delete", {"id": 42, "phone": None}, {"shopify_customer_id=42"}),
        ("customers_marketing_consent/update", {"id": 42}, {"shopify_customer_id=42"}),
        ("customers/redact", {"shop_id": 7, "customer": {"id": 42}}, {"shopify_customer_id=42"}),
        ("customers/merge", {"customerId": "gid://shopify/Customer/42"}, {"shopify_customer_id=42"}),
        ("company_contacts/create", {"customer_admin_graphql_api_id": "gid://shopify/Customer/42"},
         {"shopify_customer_id=42"}),
        ("subscription_contracts/create", {"id": 3, "customer_id": 42}, {"shopify_customer_id=42"}),
        ("orders/create", _ORDER, {"shopify_customer_id=42", "email=bob@hill.test", "phone=+12015550199",
                                   "email=b@hill.test", "phone=+12015550177"}),
        ("orders/delete", {"id": 9}, set()),
        ("fulfillments/create", {"id": 3, "email": "b@hill.test", "destination": {"phone": "+12015550111"}},
         {"email=b@hill.test"}),
        ("refunds/create", {"id": 3, "user_id": 77}, set()),
        ("domains/create", {"id": 3, "host": "www.acme.test"}, {"domain=acme.test"}),
        ("domains/create", {"id": 3, "host": "new.myshopify.com"}, {"shop_domain=new.myshopify.com"}),
        ("app/uninstalled", {"id": 7, "email": "ada@acme.test", "domain": None}, {"email=ada@acme.test"}),
    ],
)  # fmt: skip
def test_whom_a_webhook_names(topic: str, payload: dict[str, Any], expected: set[str]) -> None:
    """The customer is known by ids, e-mails and phones of their own; nobody by a postal address."""
    assert names(delivered(topic, payload)) == expected | {"shop_domain=acme.myshopify.com"}


@pytest.mark.parametrize(
    ("topic", "payload", "headers", "expected"),
    [
        ("orders/create", _ORDER, {}, 1_767_600_000_000),
        ("orders/updated", _ORDER, {}, 1_767_603_600_000),
        ("orders/cancelled", {**_ORDER, "cancelled_at": "2026-01-05T08:30:00Z"}, {}, 1_767_601_800_000),
        ("disputes/create", {"initiated_at": "2026-01-05T08:00:00Z"}, {}, 1_767_600_000_000),
        ("orders/delete", {"id": 9}, {"x-shopify-triggered-at": "2026-01-05T08:00:00.123456789Z"},
         1_767_600_000_123),
        ("app/uninstalled", _SHOP, {"x-shopify-triggered-at": "2026-01-05T09:00:00Z"}, 1_767_603_600_000),
        ("orders/delete", {"id": 9}, {}, NOW_MS),
    ],
)  # fmt: skip
def test_when_it_happened(
    topic: str, payload: dict[str, Any], headers: dict[str, str], expected: int
) -> None:
    """The payload's time that the topic is about, else that of the delivery, else the arrival."""
    assert delivered(topic, payload, **headers).occurred_at_ms == expected


def test_what_stands_in_headers_may_stand_in_an_envelope() -> None:
    """A producer without headers writes topic and shop beside the payload."""
    event = decode_one(
        {"topic": "orders/create", "shop_domain": "acme.myshopify.com", "payload": _ORDER}, "shopify"
    )
    assert event.event_name == "orders/create"
    assert names(event) == names(delivered("orders/create", _ORDER))
    assert [(each.name, each.value, each.unit) for each in event.measurements] == [
        ("total_price", 29.99, "USD")
    ]


def test_a_delivery_is_known_by_its_id() -> None:
    """Shopify's id of the delivery stays when it tries again; without one it is the content's digest."""
    assert delivered("orders/delete", {"id": 9}, **{"x-shopify-webhook-id": "w-1"}).event_id == "w-1"
    assert delivered("orders/delete", {"id": 9}) == delivered("orders/delete", {"id": 9})


def test_an_object_without_a_topic_is_read_by_what_it_is() -> None:
    """A bridge that loses the headers loses the shop and the topic, not the customer."""
    customer = {**_CUSTOMER, "admin_graphql_api_id": "gid://shopify/Customer/42"}
    assert decode_one(customer, "shopify").event_name == "customers"
    assert names(decode_one(_ORDER, "shopify")) == names(delivered("orders/create", _ORDER)) - {
        "shop_domain=acme.myshopify.com"
    }


@pytest.mark.parametrize("as_text", [False, True])
def test_a_gadget_record_is_a_shop(as_text: bool) -> None:
    """Its names are in the other spelling, and its state says what happened."""
    shop = {
        "id": "shop-7",
        "email": "ada@acme.test",
        "domain": "acme.test",
        "myshopifyDomain": "acme.myshopify.com",
        "shopOwner": "Ada",
        "state": {"created": "installed"},
        "updatedAt": "2026-01-05T08:00:00Z",
    }
    record = {"__typename": "ShopifyShop", "_all": shop, "id": "shop-7"}
    held = json.dumps(record) if as_text else record
    event = decode_one({"id": "row", "record": held}, "shopify")
    assert names(event) == _SHOP_NAMES
    assert (event.event_name, event.event_id, event.occurred_at_ms) == (
        "shop/installed",
        "shop-7:2026-01-05T08:00:00Z",
        1_767_600_000_000,
    )


def test_a_template_is_no_shop() -> None:
    """What was never filled in is rejected; the customer beside it lives on, and alone it leaves nobody."""
    payload = {"shop_domain": "{shop}.myshopify.com", "customer": {"id": 42}}
    assert names(decode_one(payload, "shopify")) == {"shopify_customer_id=42"}
    assert problem_of({"shop_domain": "{shop}.myshopify.com"}, "shopify").reason == "no-participants"


def test_a_delivery_about_nobody_is_skipped() -> None:
    """Without a shop in the headers some topics concern nobody."""
    decoded = decode(message(as_bytes({"id": 1, "title": "A product"})), "shopify")
    assert (decoded.problem, decoded.skipped) == (None, "no person or group in it")


@pytest.mark.parametrize(
    ("payload", "reason", "path"),
    [
        ({"topic": "customers/create", "payload": {}}, "schema", "payload.id"),
        ({"topic": "orders/create", "payload": {"email": "a@b.test"}}, "schema", "payload.id"),
        ({"topic": "orders/create", "payload": [_ORDER]}, "schema", "payload"),
        ({"topic": 7, "payload": _ORDER}, "schema", "topic"),
        ({**_ORDER, "customer": "Bob"}, "schema", "customer"),
        ({**_ORDER, "email": 7}, "schema", "email"),
        ({**_ORDER, "created_at": "soon"}, "instant", "payload.created_at"),
    ],
)
def test_what_is_no_delivery(payload: dict[str, Any], reason: str, path: str) -> None:
    """The field that is wrong or missing is named."""
    problem = problem_of(payload, "shopify")
    assert (problem.reason, problem.detail.split(":")[0]) == (reason, path)
