"""Shopify webhooks, and shops as apps keep them at Gadget: https://shopify.dev/docs/api/webhooks

The topic and the shop stand in the delivery's headers, `x-shopify-topic` and `x-shopify-shop-domain`; where a
producer cannot pass them on, in an envelope: `{"topic": …, "shop_domain": …, "payload": …}`. A Gadget record
may come as a row with the record in its column `record`.

**Who.** The *shop*, a group, known by `shop_domain`, which ends in `.myshopify.com` and never changes, and by
the `domain` that it sells under. Its *owner*, known by the shop's e-mail, with a membership. And the
*customer*, known by `shopify_customer_id`, and by the e-mails and phones of the customer and of the order,
checkout or fulfillment. Postal addresses are often other people's, `user_id` is one of the shop's staff, and
the shop's phone is everybody's: nobody is known by them. What Shopify sends as a test names a shop that is
not the one that it is sent for; the two are never made one.

**When.** The time in the payload that the topic is about: `created_at` of what was created, else `updated_at`
and its like; else the header `x-shopify-triggered-at`, else on arrival. An uninstalled app is the other way
round: the payload tells the shop's times.

**Which.** The header `x-shopify-webhook-id`, which stays when Shopify tries again; else a digest of the
whole.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import NOBODY, Draft, assemble
from schemas.errors import BadMessage
from schemas.events import Decoded, Json, Measurement, Membership, Message
from schemas.identifiers import MakeIdentifier
from schemas.instants import parse_instant
from schemas.rows import from_row
from schemas.strict_json import digest
from schemas.validation import refusal

SOURCE = "shopify"
SHOP, OWNER, CUSTOMER = "shop", "owner", "customer"

_PLATFORM = ".myshopify.com"
_CUSTOMER_GID = "gid://shopify/Customer/"
_CAPITAL = re.compile(r"(?<=[a-z0-9])[A-Z]")
_AMOUNT = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_AMOUNTS = ("total_price", "subtotal_price", "total_discounts", "total_tax", "amount")
# Subjects of topics whose e-mail and phone are the buyer's own.
_BOUGHT = frozenset({"orders", "draft_orders", "checkouts", "fulfillments"})
# Topics whose payload is the customer, not something that has one.
_CUSTOMERS = frozenset({"customers", "customers_marketing_consent"})
_TIMES = ("updated_at", "occurred_at", "processed_at", "initiated_at", "created_at")

_Id = str | int | None


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class ShopifyDelivery(_Shape):
    """A payload with what else stands in headers."""

    topic: Annotated[str, Field(min_length=1)] | None = None
    shop_domain: str | None = None
    webhook_id: str | None = None
    triggered_at: str | None = None
    payload: dict[str, Any]


class ShopifyCustomer(_Shape):
    """A customer, alone or inside of what they bought."""

    id: _Id = None
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None


class ShopifyObject(ShopifyCustomer):
    """What a webhook is about, in the spelling of the REST API: of each topic the fields that matter here."""

    admin_graphql_api_id: str | None = None
    contact_email: str | None = None
    customer: ShopifyCustomer | None = None
    customer_id: _Id = None
    admin_graphql_api_customer_id: _Id = None
    customer_admin_graphql_api_id: _Id = None
    currency: str | None = None
    # of a shop
    name: str | None = None
    domain: str | None = None
    host: str | None = None
    myshopify_domain: str | None = None
    shop_domain: str | None = None
    shop_owner: str | None = None
    plan_name: str | None = None
    # times
    created_at: str | None = None
    updated_at: str | None = None
    occurred_at: str | None = None
    processed_at: str | None = None
    initiated_at: str | None = None
    cancelled_at: str | None = None


_delivery = ShopifyDelivery.__pydantic_validator__.validate_python
_object = ShopifyObject.__pydantic_validator__.validate_python


class ShopifyWebhooks:
    """The format `shopify`: a message is one delivery of a webhook, or one Gadget record of a shop."""

    name = "shopify"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """One event, or none where the delivery names nobody."""
        try:
            delivery = _delivered(from_row(payload, "record"), message)
            thing: ShopifyObject = _object(_plain(delivery.payload))
        except ValidationError as error:
            raise refusal(error) from None
        topic = delivery.topic or ""
        subject = topic.partition("/")[0] or _subject(thing)
        if subject in _BOUGHT and thing.id is None:
            raise BadMessage("schema", f"payload.id: required in {subject}")
        people, shops = _people(subject, thing), _shops(delivery, subject, thing)
        is_owned = bool(shops) and any(each.ref == OWNER for each in people)
        if not people and not shops:
            return Decoded((), skipped=NOBODY)
        event = assemble(
            message,
            make,
            event_id=delivery.webhook_id or digest(payload),
            source=SOURCE,
            event_name=topic or subject or "webhook",
            event_type="commerce",
            occurred_at_ms=_instant(topic, thing, delivery.triggered_at),
            participants=[*people, *shops],
            memberships=[Membership(OWNER, str(shops[-1].ref), OWNER, ended=False)] if is_owned else (),
            measurements=tuple(_measurements(delivery.payload, thing.currency)),
        )
        return Decoded((event,))


def _delivered(record: Json, message: Message) -> ShopifyDelivery:
    """The payload with its topic and shop, from wherever they stand."""
    headers = {
        name.lower().removeprefix("x-shopify-").replace("-", "_"): value.decode("utf-8", "replace")
        for name, value in message.headers
        if name.lower().startswith("x-shopify-")
    }
    told: Mapping[str, Json] = {"payload": record}
    if isinstance(record, dict) and isinstance(shop := record.get("_all"), dict):
        told = {**_gadget(shop), "payload": shop}
    elif isinstance(record, dict) and "payload" in record:
        told = {name: value for name, value in record.items() if value is not None}
    delivery: ShopifyDelivery = _delivery({**headers, **told})
    return delivery


def _gadget(shop: Mapping[str, Json]) -> dict[str, Json]:
    """What happened, as far as a record tells: it is in the state of `{"created": "installed"}`."""
    state = shop.get("state")
    now = state.get("created") if isinstance(state, dict) else None
    return {
        "topic": f"shop/{now}" if isinstance(now, str) and now else "shop/update",
        "webhook_id": f"{shop.get('id')}:{shop.get('updatedAt')}",
    }


def _plain(thing: Mapping[str, Json]) -> dict[str, Json]:
    """The object with its names in one spelling: some topics, and Gadget, write `shopOwner`."""
    return {**{_snake(name): value for name, value in thing.items()}, **thing}


@lru_cache(maxsize=1_000)
def _snake(name: str) -> str:
    return _CAPITAL.sub(lambda capital: "_" + capital[0], name).lower()


def _subject(thing: ShopifyObject) -> str:
    """What the object is, where no topic says it; empty where it does not say it either."""
    if (thing.admin_graphql_api_id or "").startswith(_CUSTOMER_GID):
        return "customers"
    return SHOP if thing.myshopify_domain or thing.shop_owner else ""


def _people(subject: str, thing: ShopifyObject) -> list[Draft]:
    if subject in (SHOP, "app"):
        email = [("email", thing.email)] if thing.email else []
        return [Draft("person", email, OWNER, OWNER, _given(name=thing.shop_owner))] if email else []
    identifiers = list(_customer(subject, thing))
    if not identifiers:
        return []
    return [Draft("person", identifiers, CUSTOMER, CUSTOMER, _given(name=_name(subject, thing)))]


def _customer(subject: str, thing: ShopifyObject) -> Iterator[tuple[str, str]]:
    """All that the payload says its customer is known by; the same may come twice."""
    ids: tuple[_Id, ...] = (
        thing.customer.id if thing.customer else None,
        thing.customer_id,
        thing.admin_graphql_api_customer_id,
        thing.customer_admin_graphql_api_id,
        thing.id if subject in _CUSTOMERS else None,
    )
    known = next((each for each in ids if each), None)
    if known is not None:
        yield "shopify_customer_id", str(known).removeprefix(_CUSTOMER_GID)
    elif subject in _CUSTOMERS:
        raise BadMessage("schema", "payload.id: required of a customer")
    holders: list[ShopifyCustomer] = [thing.customer] if thing.customer else []
    if subject in _CUSTOMERS or subject in _BOUGHT or (thing.customer and not subject):
        holders.append(thing)
        if thing.contact_email:
            yield "email", thing.contact_email
    for holder in holders:
        if holder.email:
            yield "email", holder.email
        if holder.phone:
            yield "phone", holder.phone


def _name(subject: str, thing: ShopifyObject) -> str:
    customer = thing.customer or (thing if subject in _CUSTOMERS else None)
    return " ".join(part for part in (customer.first_name, customer.last_name) if part) if customer else ""


def _shops(delivery: ShopifyDelivery, subject: str, thing: ShopifyObject) -> list[Draft]:
    """The shop that the delivery is for; and behind it the one that the payload names, if it is another."""
    told, named = delivery.shop_domain, thing.myshopify_domain or thing.shop_domain
    site = thing.host if subject == "domains" else thing.domain if subject in (SHOP, "app") else None
    if site and site.lower().endswith(_PLATFORM):
        named, site = named or site, None
    is_other = bool(told and named and told.lower() != named.lower())
    identifiers = [("shop_domain", named or told), ("domain", site)]
    given = [(identifier_type, value) for identifier_type, value in identifiers if value]
    traits = _given(name=thing.name, plan_name=thing.plan_name) if subject in (SHOP, "app") else {}
    shops = [Draft("group", [("shop_domain", told)], "told", SHOP)] if told and is_other else []
    return [*shops, Draft("group", given, SHOP, SHOP, traits)] if given else shops


def _instant(topic: str, thing: ShopifyObject, triggered_at: str | None) -> int | None:
    action = topic.partition("/")[2]
    names = list(_TIMES)
    if action in ("", "create"):  # without a topic all that is known to have happened is that
        names.insert(0, "created_at")
    elif action == "cancelled":
        names.insert(0, "cancelled_at")
    times: list[tuple[str, str | None]] = [(f"payload.{name}", getattr(thing, name)) for name in names]
    times.insert(0 if topic == "app/uninstalled" else len(times), ("x-shopify-triggered-at", triggered_at))
    return next((parse_instant(text, path) for path, text in times if text), None)


def _measurements(thing: Mapping[str, Json], currency: str | None) -> Iterator[Measurement]:
    """Amounts are in major units, as text: `"398.00"`."""
    if not currency:
        return
    for name in _AMOUNTS:
        amount = thing.get(name)
        if isinstance(amount, str) and _AMOUNT.fullmatch(amount):
            yield Measurement(name, float(amount), currency.upper())


def _given(**traits: str | None) -> dict[str, Json]:
    return {name: value for name, value in traits.items() if value}
