"""Poison by name: everything that ever stopped a stream, or might, and the reason of its dead letter.

A good message beside them is `good(n)`: an event about one person with two identifiers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CANARY = "canary.b7f3@whistle.example"
"""An address that stands in every poison, and must come out nowhere but in the untouched payload."""

MIB = 1 << 20


@dataclass(frozen=True)
class Poison:
    """A message that must become a dead letter, and why. `format_name` goes into its header."""

    value: bytes | None
    reason: str
    format_name: str = "event"

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The producer's headers: the format, and one of its own."""
        return (("nexus-format", self.format_name.encode()), ("trace", b"\xff\x00"))


def event(**changes: Any) -> dict[str, Any]:
    """A good event with changes. A change to None takes the field out."""
    whole: dict[str, Any] = {
        "event_id": "poison",
        "source": "shop",
        "event_name": "seen",
        "occurred_at": "2026-01-05T10:00:00Z",
        "participants": [participant()],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def participant(**changes: Any) -> dict[str, Any]:
    """A person known by the canary's address."""
    return {
        "ref": "payer",
        "entity_type": "person",
        "identifiers": [{"type": "email", "value": CANARY}],
        **changes,
    }


def encoded(value: object) -> bytes:
    """JSON as producers write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def _with(field: bytes) -> bytes:
    """A good event with one more field, as it stands."""
    return encoded(event())[:-1] + b"," + field + b"}"


def _schema(**changes: Any) -> Poison:
    return Poison(encoded(event(**changes)), "schema")


def _limit(**changes: Any) -> Poison:
    return Poison(encoded(event(**changes)), "limit")


def _about(reason: str, **changes: Any) -> Poison:
    return Poison(encoded(event(participants=[participant(**changes)])), reason)


def _named(*values: object, kind: str = "email") -> list[dict[str, object]]:
    return [{"type": kind, "value": value} for value in values]


def _segment(reason: str, **changes: Any) -> Poison:
    call = {"type": "identify", "messageId": "m", "userId": "u-1", "traits": {"email": CANARY}, **changes}
    return Poison(encoded(call), reason, "segment")


def _stripe(reason: str, **changes: Any) -> Poison:
    customer = {"id": "cus_B7f3", "object": "customer", "email": CANARY}
    webhook = {
        "id": "evt_1",
        "type": "customer.updated",
        "created": 1_767_600_000,
        "data": {"object": customer},
    }
    whole = {**webhook, **changes}
    return Poison(encoded({k: v for k, v in whole.items() if v is not None}), reason, "stripe")


def _gmail(reason: str, **changes: Any) -> Poison:
    headers = [{"name": "From", "value": CANARY}]
    return Poison(encoded({"id": "m", "payload": {"headers": headers}, **changes}), reason, "gmail")


def _calendar(reason: str, **changes: Any) -> Poison:
    meeting = {"id": "c", "start": {"date": "2026-01-05"}, "organizer": {"email": CANARY}, **changes}
    return Poison(encoded(meeting), reason, "google_calendar")


def _shopify(reason: str, topic: Any, **payload: Any) -> Poison:
    return Poison(encoded({"topic": topic, "payload": {"email": CANARY, **payload}}), reason, "shopify")


GOOD = encoded(event())

POISON: Mapping[str, Poison] = {
    # no JSON
    "tombstone": Poison(None, "tombstone"),
    "nothing": Poison(b"", "not-json"),
    "white space": Poison(b" \t ", "not-json"),
    "words": Poison(f"{CANARY} wrote".encode(), "not-json"),
    "HTML": Poison(f"<html><body>502 for {CANARY}</body></html>".encode(), "not-json"),
    "XML": Poison(f'<?xml version="1.0"?><email>{CANARY}</email>'.encode(), "not-json"),
    "CSV": Poison(f"email;name\n{CANARY};Ada".encode(), "not-json"),
    "a form": Poison(f"email={CANARY}&name=Ada".encode(), "not-json"),
    "a dict of Python": Poison(repr(event()).encode(), "not-json"),
    "gzip": Poison(bytes.fromhex("1f8b08000000000002ff"), "not-utf8"),
    "Avro": Poison(b"\x00\x00\x00\x00\x07" + CANARY.encode(), "not-json"),
    "random bytes": Poison(bytes(range(256)), "not-utf8"),
    "cut off": Poison(GOOD[:-20], "not-json"),
    "cut inside a character": Poison(encoded("ü")[:-2], "not-utf8"),
    "two documents": Poison(GOOD + GOOD, "not-json"),
    "two lines": Poison(GOOD + b"\n" + GOOD, "not-json"),
    "a trailing comma": Poison(GOOD[:-1] + b",}", "not-json"),
    "a comment": Poison(b"/* " + CANARY.encode() + b" */" + GOOD, "not-json"),
    "NUL behind": Poison(GOOD + b"\x00", "not-json"),
    # JSON in disguise
    "byte order mark": Poison(b"\xef\xbb\xbf" + GOOD, "byte-order-mark"),
    "UTF-16": Poison(GOOD.decode().encode("utf-16"), "not-utf8"),
    "Latin-1": Poison(_with('"city":"München"'.encode("latin-1")), "not-utf8"),
    "overlong UTF-8": Poison(_with(b'"a":"\xc0\xaf"'), "not-utf8"),
    "a surrogate in UTF-8": Poison(_with(b'"a":"\xed\xa0\x80"'), "not-utf8"),
    "a lone surrogate": Poison(_with(rb'"a":"\ud83d"'), "lone-surrogate"),
    "surrogates the wrong way round": Poison(_with(rb'"a":"\ude00\ud83d"'), "lone-surrogate"),
    "a lone surrogate as a value": Poison(
        GOOD.replace(CANARY.encode(), rb"\ud800@whistle.example"), "lone-surrogate"
    ),
    "a lone surrogate as a key": Poison(_with(rb'"\udfff":1'), "lone-surrogate"),
    "a control character": Poison(_with(b'"a":"\x01"'), "not-json"),
    "NaN": Poison(_with(b'"score":NaN'), "number"),
    "Infinity": Poison(_with(b'"score":-Infinity'), "number"),
    "a number beyond doubles": Poison(_with(b'"score":1e999'), "number"),
    "a number of 10,000 digits": Poison(_with(b'"score":' + b"9" * 10_000), "number"),
    "a duplicate key": Poison(_with(b'"source":"other"'), "duplicate-key"),
    "a duplicate key in disguise": Poison(_with(rb'"sou\u0072ce":"other"'), "duplicate-key"),
    "a duplicate key deep inside": Poison(_with(b'"x":{"a":[{"b":1,"b":2}]}'), "duplicate-key"),
    "100,000 arrays": Poison(b"[" * 100_000 + b"]" * 100_000, "too-deep"),
    "100,000 arrays without end": Poison(b"[" * 100_000, "too-deep"),
    "100,000 objects": Poison(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too-deep"),
    "1,000 arrays in a field": Poison(_with(b'"x":' + b"[" * 1_000 + b"]" * 1_000), "too-deep"),
    # something else than an object
    "an array": Poison(b"[" + GOOD + b"]", "schema"),
    "an empty array": Poison(b"[]", "schema"),
    "a string": Poison(encoded(GOOD.decode()), "schema"),
    "a number": Poison(b"42", "schema"),
    "null": Poison(b"null", "schema"),
    "true": Poison(b"true", "schema"),
    "an empty object": Poison(b"{}", "schema"),
    # the event's shape
    "no event_id": _schema(event_id=None),
    "no source": _schema(source=None),
    "no time": _schema(occurred_at=None),
    "no participants": _schema(participants=None),
    "an event_id that is a number": _schema(event_id=17),
    "an event_id that is empty": _schema(event_id=""),
    "an event_id with NUL": _schema(event_id="a\0b"),
    "a source with a line end": _schema(source="shop\n"),
    "participants that are an object": _schema(participants={"person": CANARY}),
    "participants that are null inside": _schema(participants=[None]),
    "a robot": _about("schema", entity_type="robot"),
    "identifiers that are a string": _about("schema", identifiers=CANARY),
    "an identifier that is a number": _about("schema", identifiers=_named(7, kind="user_id")),
    "an identifier that is an array": _about("schema", identifiers=_named([CANARY])),
    "an identifier of no type": _about("schema", identifiers=[{"value": CANARY}]),
    "an identifier of an impossible type": _about("schema", identifiers=_named(CANARY, kind="E-Mail!")),
    "traits that are HTML": _about("schema", traits="<html>"),
    "a ref given twice": _schema(
        participants=[participant(), participant()],
        states=[{"of": "payer", "state_name": "a", "state_value": "b"}],
    ),
    "a membership of nobody": _schema(memberships=[{"person": "payer", "group": "nowhere"}]),
    "a state of nobody": _schema(states=[{"of": "nobody", "state_name": "a", "state_value": "b"}]),
    "a state without a value": _schema(states=[{"of": "payer", "state_name": "a"}]),
    "a measurement that is a word": _schema(measurements=[{"name": "paid", "value": "much"}]),
    # times
    "a time in year 0": Poison(encoded(event(occurred_at="0000-01-01T00:00:00Z")), "instant"),
    "a naive time": Poison(encoded(event(occurred_at="2026-01-05T10:00:00")), "instant"),
    "a time that is a word": Poison(encoded(event(occurred_at="yesterday")), "instant"),
    "a time that is a number": _schema(occurred_at=1_767_600_000),
    "a time that never was": Poison(encoded(event(occurred_at="2026-02-30T10:00:00Z")), "instant"),
    "a time behind the last year": Poison(encoded(event(occurred_at="10000-01-01T00:00:00Z")), "instant"),
    "a time before the first year": Poison(
        encoded(event(occurred_at="0001-01-01T00:00:00+01:00")), "instant"
    ),
    # nobody is left
    "no identifier": _about("no-participants", identifiers=[]),
    "only values that are none": _about("no-participants", identifiers=_named("", "nobody", "a@b@c")),
    # too much
    "10 MB in a string": Poison(_with(b'"x":"' + b"x" * 10 * MIB + b'"'), "limit"),
    "1 MiB and a byte": Poison(GOOD + b" " * (MIB + 1 - len(GOOD)), "limit"),
    "an id of 257 bytes": _limit(event_id="é" * 128 + "x"),
    "a value of 1 KiB and a byte": _about("limit", identifiers=_named("é" * 512 + "x", kind="user_id")),
    "65 identifiers": _about("limit", identifiers=_named(*map(str, range(65)), kind="user_id")),
    "1,001 participants": _limit(participants=[participant(ref=None)] * 1_001),
    # the sources
    "an unknown format": Poison(GOOD, "unknown-format", "fax"),
    "a Segment call of no type": _segment("schema", type=None),
    "a Segment call of another world": _segment("schema", type="telepathy"),
    "a Segment call with an object as the user": _segment("schema", userId={"email": CANARY}),
    "a Segment call without time zone": _segment("instant", timestamp="2026-01-05T10:00:00"),
    "a Segment batch with a bad call": Poison(
        encoded({"batch": [{"type": "identify", "userId": {}, "traits": {"email": CANARY}}]}),
        "schema",
        "segment",
    ),
    "a webhook without data": _stripe("schema", data=None),
    "a webhook without a type": _stripe("schema", type=None),
    "a webhook created in words": _stripe("schema", created="soon"),
    "a webhook about an array": _stripe("schema", data={"object": [CANARY]}),
    "a mail without headers": _gmail("schema", payload=None),
    "a mail of one day": _gmail("instant", internalDate="today"),
    "a row whose mail is cut off": Poison(encoded({"record": f'{{"sender": "{CANARY}'}), "not-json", "gmail"),
    "a meeting without a start": _calendar("schema", start=None),
    "a meeting on no planet": _calendar(
        "instant", start={"dateTime": "2026-01-05T10:00:00", "timeZone": "../../etc/passwd"}
    ),
    "an order without an id": _shopify("schema", "orders/create"),
    "a delivery about a number": _shopify("schema", 7),
}


def good(number: int) -> bytes:
    """A good event about a person of its own."""
    identifiers = [*_named(f"person-{number}@good.example"), *_named(f"u-{number}", kind="user_id")]
    return encoded(event(event_id=f"good-{number}", participants=[participant(identifiers=identifiers)]))
