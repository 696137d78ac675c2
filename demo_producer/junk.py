"""Junk identifiers: well-formed records that name what anybody could be named by.

Each is made from a record of a real customer, as a client with a bug would send it: a valid call with a word
for "nobody" in place of an id, or with a test address. It is about that customer only as far as an identifier
of theirs is left in it; taken at its word, it would glue strangers together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pydantic_core import from_json, to_json

from demo_producer.calls import Format, Payload
from demo_producer.chance import Chance
from demo_producer.customers import base62
from demo_producer.record import Record

_NULL_WORDS = ("null", "NULL", "undefined", "None", "unknown", "anonymous")
_ZERO_UUID = "00000000-0000-0000-0000-000000000000"
_ZERO_STRIPE = "cus_00000000000000"

Spoil = Callable[[Payload, Chance], None]


def _null_user(call: Payload, chance: Chance) -> None:
    call["userId"] = chance.one_of(_NULL_WORDS)
    call.setdefault("anonymousId", _ZERO_UUID)


def _anonymous_visitor(call: Payload, chance: Chance) -> None:
    call["anonymousId"] = chance.one_of(("anonymous", "undefined", "null"))


def _zero_device(call: Payload, _chance: Chance) -> None:
    call["anonymousId"] = _ZERO_UUID


def _test_address(call: Payload, chance: Chance) -> None:
    call["traits"] = {"email": chance.one_of(("test@example.com", "Test@Example.org", "foo@example.net"))}


def _null_address(call: Payload, _chance: Chance) -> None:
    call["traits"] = {"email": "null", "name": "null null"}


def _zero_phone(call: Payload, chance: Chance) -> None:
    call["traits"] = {"phone": chance.one_of(("+10000000000", "+490000000000", "000-000-0000"))}


def _addresses(webhook: Payload) -> Iterator[tuple[Payload, str]]:
    """The places of an object where its payer's address stands: none in those that name only the customer."""
    subject = webhook["data"]["object"]
    for place in (subject, subject.get("billing_details"), subject.get("customer_details")):
        for field in ("email", "customer_email"):
            if place is not None and place.get(field) is not None:
                yield place, field


def _zero_customer(webhook: Payload, _chance: Chance) -> None:
    subject = webhook["data"]["object"]
    subject["id" if subject["object"] == "customer" else "customer"] = _ZERO_STRIPE


def _test_payer(webhook: Payload, _chance: Chance) -> None:
    for place, field in _addresses(webhook):
        place[field] = "test@example.com"


def _nobody_pays(webhook: Payload, chance: Chance) -> None:
    _zero_customer(webhook, chance)
    _test_payer(webhook, chance)


KINDS: Mapping[Format, Mapping[str, Spoil]] = {
    "segment": {
        "null-user": _null_user,
        "anonymous-visitor": _anonymous_visitor,
        "zero-device": _zero_device,
        "test-address": _test_address,
        "null-address": _null_address,
        "zero-phone": _zero_phone,
    },
    "stripe": {
        "zero-customer": _zero_customer,
        "test-payer": _test_payer,
        "nobody-pays": _nobody_pays,
    },
}


def junk(model: Record, chance: Chance) -> Record:
    """A record with a junk identifier, made from a good one; it carries an event id of its own."""
    assert model.value is not None, "a good record has a value"
    payload: Payload = from_json(model.value)
    kind = chance.one_of(_fitting_kinds(model.format, payload))
    if model.format == "segment":
        _as_identify(payload, chance)
    else:
        payload["id"] = f"evt_1{base62(chance.bits(128), 20)}"
    KINDS[model.format][kind](payload, chance)
    return model._replace(value=to_json(payload), fault="junk", kind=kind, company=None, completes=False)


def _fitting_kinds(name: Format, payload: Payload) -> tuple[str, ...]:
    if name == "stripe" and not any(_addresses(payload)):
        return ("zero-customer",)
    return tuple(KINDS[name])


def _as_identify(call: Payload, chance: Chance) -> None:
    """Any call as the identify call of the same visitor, without what the other kinds of call carry."""
    for field in ("event", "groupId", "name", "previousId", "properties"):
        call.pop(field, None)
    call["messageId"] = f"ajs-{chance.hex()}"
    call["traits"] = {}
    call["type"] = "identify"
