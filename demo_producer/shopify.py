"""Shops as Shopify's apps see them: the record of an app that runs at Gadget, and Shopify's webhooks.

A shop belongs to a company: it sells under the company's domain, and its e-mail is its owner's.
"""

from __future__ import annotations

from demo_producer.calls import Call, Payload
from demo_producer.chance import digest_hex
from demo_producer.customers import Customer
from demo_producer.gmail import Mailbox
from demo_producer.moments import Moment, stamp

API_VERSION = "2026-01"
_DAY_MS = 24 * 3_600_000


def shop_domain(owner: Customer) -> str:
    """The name that Shopify gives a shop for good: made up as Shopify makes it up, of digits and letters."""
    made_up = digest_hex(owner.seed, "shop", owner.company.number)
    return f"{made_up[:6]}-{made_up[6:8]}.myshopify.com"


def app_installed(owner: Customer, moment: Moment, contact: Mailbox) -> Call:
    """The app keeps a record of the shop that installed it, as Gadget writes it."""
    shop = {
        "__typename": "ShopifyShop",
        "id": _shop_id(owner),
        "name": owner.company.name,
        "email": contact.address,
        "shopOwner": contact.name,
        "domain": owner.company.domain,
        "myshopifyDomain": shop_domain(owner),
        "currency": owner.currency.upper(),
        "planName": "basic",
        "state": {"created": "installed"},
        "createdAt": stamp(moment.at_ms),
        "updatedAt": stamp(moment.at_ms),
    }
    record = {"__typename": "ShopifyShop", "id": shop["id"], "updatedAt": shop["updatedAt"], "_all": shop}
    return Call("shopify", shop_domain(owner), record)


def plan_changed(owner: Customer, moment: Moment, contact: Mailbox, plan: str) -> Call:
    """The shop goes to another plan of Shopify's."""
    return _webhook("shop/update", owner, moment, _shop(owner, moment.at_ms, contact, plan))


def app_uninstalled(owner: Customer, moment: Moment, contact: Mailbox) -> Call:
    """The app is thrown out; the payload is the shop as it last was."""
    shop = _shop(owner, moment.at_ms - _DAY_MS, contact, "basic")
    return _webhook("app/uninstalled", owner, moment, shop)


def _shop(owner: Customer, updated_ms: int, contact: Mailbox, plan: str) -> Payload:
    return {
        "id": int(_shop_id(owner)),
        "name": owner.company.name,
        "email": contact.address,
        "customer_email": contact.address,
        "shop_owner": contact.name,
        "domain": owner.company.domain,
        "myshopify_domain": shop_domain(owner),
        "currency": owner.currency.upper(),
        "plan_name": plan,
        "created_at": "2024-05-06T09:00:00Z",
        "updated_at": stamp(updated_ms),
    }


def _shop_id(owner: Customer) -> str:
    return str(10_000_000_000 + int(digest_hex(owner.seed, "shop id", owner.company.number)[:8], 16))


def _webhook(topic: str, owner: Customer, moment: Moment, payload: Payload) -> Call:
    """A delivery: what it is and for which shop stands in its headers."""
    headers = {
        "x-shopify-api-version": API_VERSION,
        "x-shopify-shop-domain": shop_domain(owner),
        "x-shopify-topic": topic,
        "x-shopify-triggered-at": stamp(moment.at_ms),
        "x-shopify-webhook-id": moment.chance.hex(),
    }
    return Call("shopify", shop_domain(owner), payload, headers=tuple(headers.items()))
