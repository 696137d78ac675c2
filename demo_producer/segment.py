"""Segment calls in the shape that its libraries send them.

Browser calls carry an anonymous id, server calls do not. A device is named by its number, see
`Customer.device`.
"""

from __future__ import annotations

from collections.abc import Mapping

from demo_producer import names
from demo_producer.calls import Call, Payload
from demo_producer.customers import Customer
from demo_producer.moments import Moment, stamp

TRANSIT_MS = 120  # from the browser's clock to the collector's
BROWSER: Mapping[str, str] = {"name": "analytics.js", "version": "4.16.1"}
SERVER: Mapping[str, str] = {"name": "analytics-node", "version": "2.2.0"}
_PHONE_OS: Mapping[str, str] = {"name": "Android", "version": "15"}


def page(customer: Customer, moment: Moment, device: int, user_id: str | None = None) -> Call:
    """A page is looked at, by a stranger or by somebody signed in."""
    path, title = moment.chance.one_of(names.PAGES)
    call = _browser_call("page", customer, moment, device=device, user_id=user_id, where=(path, title))
    call["name"] = title
    call["properties"] = call["context"]["page"]
    return _sent(call)


def track(customer: Customer, moment: Moment, device: int, user_id: str | None = None) -> Call:
    """Something is done."""
    call = _browser_call("track", customer, moment, device=device, user_id=user_id, where=names.PAGES[6])
    call["event"] = moment.chance.one_of(names.ACTIONS)
    call["properties"] = {"plan": plan(customer), "items": 1 + moment.chance.below(20)}
    return _sent(call)


def did(customer: Customer, moment: Moment, event: str) -> Call:
    """Somebody who is signed in does this, on the first device."""
    call = _browser_call(
        "track", customer, moment, device=0, user_id=customer.user_ids[0], where=names.PAGES[7]
    )
    call["event"] = event
    call["properties"] = {"plan": plan(customer)}
    return _sent(call)


def screen(customer: Customer, moment: Moment, device: int, user_id: str | None = None) -> Call:
    """A screen of the phone's app is looked at."""
    call = _browser_call("screen", customer, moment, device=device, user_id=user_id, where=names.PAGES[6])
    call["channel"] = "mobile"
    call["name"] = moment.chance.one_of(names.SCREENS)
    call["context"] = {"ip": customer.ip, "locale": customer.locale, "os": _PHONE_OS}
    call["properties"] = {}
    return _sent(call)


def identify(customer: Customer, moment: Moment, device: int, email: int) -> Call:
    """Somebody signs up, logs in or changes their profile: the device, the account and an address are one."""
    call = _browser_call(
        "identify", customer, moment, device=device, user_id=customer.user_ids[0], where=names.PAGES[8]
    )
    call["traits"] = {"email": customer.emails[email], "name": customer.name, "plan": plan(customer)}
    return _sent(call)


def borrow(customer: Customer, moment: Moment, device: str) -> Call:
    """Somebody signs in on a device that is not theirs: it and their account are one, says the call."""
    call = _browser_call(
        "identify", customer, moment, device=0, user_id=customer.user_ids[0], where=names.PAGES[8]
    )
    call["anonymousId"] = device
    call["traits"] = {"name": customer.name, "plan": plan(customer)}
    return _sent(call)


def invite(customer: Customer, moment: Moment) -> Call:
    """A colleague makes an account for somebody: the server knows account and address, and no device yet."""
    call = _server_call("identify", customer, moment)
    call["traits"] = {"email": customer.emails[0], "name": customer.name, "invited": True}
    return _sent(call)


def group(customer: Customer, moment: Moment) -> Call:
    """The server puts an account into its company."""
    company = customer.company
    call = _server_call("group", customer, moment)
    call["groupId"] = company.group_id
    call["traits"] = {
        "name": company.name,
        "industry": company.industry,
        "employees": company.employees,
        "website": f"https://www.{company.domain}",
    }
    return _sent(call, company.number)


def billed(customer: Customer, moment: Moment) -> Call:
    """The server tells of something done by an account."""
    call = _server_call("track", customer, moment)
    call["event"] = "Trial Extended" if moment.chance.share() < 0.2 else "Report Delivered"
    call["properties"] = {"plan": plan(customer)}
    return _sent(call)


def alias(customer: Customer, moment: Moment) -> Call:
    """The server joins the account of the older app to the account of today."""
    call = _server_call("alias", customer, moment)
    call["previousId"] = customer.user_ids[1]
    return _sent(call)


def plan(customer: Customer) -> str:
    """The plan that a customer is on."""
    return ("free", "starter", "team", "business")[customer.luck % 4]


def _browser_call(
    kind: str, customer: Customer, moment: Moment, *, device: int, user_id: str | None, where: tuple[str, str]
) -> Payload:
    path, title = where
    call = {
        "anonymousId": customer.device(device),
        "channel": "client",
        "context": {
            "ip": customer.ip,
            "library": BROWSER,
            "locale": customer.locale,
            "page": {
                "path": path,
                "referrer": moment.chance.one_of(names.REFERRERS),
                "search": "",
                "title": title,
                "url": f"https://{names.SHOP}{path}",
            },
            "userAgent": customer.agent,
        },
    }
    if user_id is not None:
        call["userId"] = user_id
    return _stamped(call, kind, f"ajs-{moment.chance.hex()}", moment)


def _server_call(kind: str, customer: Customer, moment: Moment) -> Payload:
    call = {"channel": "server", "context": {"library": SERVER}, "userId": customer.user_ids[0]}
    return _stamped(call, kind, f"node-{moment.chance.hex()}", moment)


def _stamped(call: Payload, kind: str, message_id: str, moment: Moment) -> Payload:
    at = stamp(moment.at_ms)
    call["integrations"] = {}
    call["messageId"] = message_id
    call["originalTimestamp"] = at
    call["receivedAt"] = stamp(moment.at_ms + TRANSIT_MS)
    call["sentAt"] = at
    call["timestamp"] = at
    call["type"] = kind
    call["version"] = 2
    return call


def _sent(call: Payload, company: int | None = None) -> Call:
    key: str = call.get("anonymousId") or call["userId"]
    return Call("segment", key, call, company)
