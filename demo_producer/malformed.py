"""Malformed records: what reaches a topic although nobody wanted it there.

Each kind is a way in which a good record becomes one that must end as exactly one dead letter. The kinds come
with what happened to them in real life; all are made from a good record by chance, so that no two need be
equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from pydantic_core import from_json, to_json

from demo_producer.calls import Format, Payload
from demo_producer.chance import Chance
from demo_producer.record import FORMAT_HEADER, Record

MIB = 1024 * 1024
HUGE_SHARE = 1 / 200  # of the malformed: they are a hundred times as long as the others


@dataclass(frozen=True, slots=True)
class Kind:
    """One way of being malformed.

    `make` gives the value from the good value. `formats` are the sources whose records it fits. Not
    `line_safe` is what cannot be a line of a file of plain payloads. `huge` is what is long, and therefore
    rare.
    """

    name: str
    make: Callable[[bytes, Chance], bytes | None]
    formats: frozenset[Format] = frozenset({"segment", "stripe"})
    line_safe: bool = True
    huge: bool = False


def malformed(model: Record, chance: Chance, *, line_safe: bool = False) -> Record:
    """A malformed record of some kind, made from a good one."""
    huge = chance.share() < HUGE_SHARE
    kinds = _CHOICES[model.format, huge, line_safe]
    return malformed_as(chance.one_of(kinds), model, chance)


def malformed_as(kind: Kind, model: Record, chance: Chance) -> Record:
    """A malformed record of this kind, made from a good one. It is about nobody."""
    assert model.value is not None, "a good record has a value"
    return model._replace(
        headers=((FORMAT_HEADER, b"fax"),) if kind.name == "unknown-format" else model.headers,
        value=kind.make(model.value, chance),
        fault="malformed",
        kind=kind.name,
        customer=None,
        company=None,
        completes=False,
    )


def _constant(value: bytes | None) -> Callable[[bytes, Chance], bytes | None]:
    return lambda _value, _chance: value


def _edited(edit: Callable[[Payload], object]) -> Callable[[bytes, Chance], bytes]:
    """A good payload with one thing changed in its tree."""

    def make(value: bytes, _chance: Chance) -> bytes:
        payload: Payload = from_json(value)
        edit(payload)
        return to_json(payload)

    return make


def _truncated(value: bytes, chance: Chance) -> bytes:
    return value[: 1 + chance.below(len(value) - 2)]


def _not_utf8(value: bytes, _chance: Chance) -> bytes:
    return _with_field(value, b'"city":"M\xfcnchen"')  # Latin-1


def _with_field(value: bytes, field: bytes) -> bytes:
    return value[:-1] + b"," + field + b"}"


def _appended(field: bytes) -> Callable[[bytes, Chance], bytes]:
    return lambda value, _chance: _with_field(value, field)


def _duplicate_key(value: bytes, _chance: Chance) -> bytes:
    return _with_field(value, b'"type":"identify"')


def _python_repr(value: bytes, _chance: Chance) -> bytes:
    return repr(from_json(value)).encode()


def _form_encoded(value: bytes, _chance: Chance) -> bytes:
    return b"payload=" + quote(value).encode()


def _put(*path: str, value: object) -> Callable[[bytes, Chance], bytes]:
    """A good payload with this value at this place."""

    def edit(payload: Payload) -> None:
        place = payload
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return _edited(edit)


def _payer_put(value: object) -> Callable[[bytes, Chance], bytes]:
    """A good webhook with this value where the Stripe customer's id is."""

    def edit(webhook: Payload) -> None:
        subject = webhook["data"]["object"]
        subject["id" if subject["object"] == "customer" else "customer"] = value

    return _edited(edit)


def _without(*names: str) -> Callable[[bytes, Chance], bytes]:
    """A good payload without these fields."""
    return _edited(lambda payload: [payload.pop(name, None) for name in names])


def _nobody(payload: Payload) -> None:
    for name in ("userId", "anonymousId", "previousId", "groupId"):
        payload.pop(name, None)
    payload.update(type="track", event="Report Viewed", properties={}, traits={})


_SEGMENT: frozenset[Format] = frozenset({"segment"})
_STRIPE: frozenset[Format] = frozenset({"stripe"})
_HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>"
# The first bytes of a gzip file, written out: compressing would give other bytes on another machine.
_GZIP = bytes.fromhex("1f8b08000000000002ffab564a2b4dcd2b294e2d5232aa0500e3e1ee5b0e000000")

_KINDS = (
    # No JSON at all.
    Kind("plain-text", _constant(b"upstream connect error or disconnect/reset before headers")),
    Kind("html", _constant(_HTML)),
    Kind("truncated", _truncated),
    Kind("empty", _constant(b""), line_safe=False),
    Kind("blank", _constant(b" \t "), line_safe=False),
    Kind("tombstone", _constant(None), line_safe=False),
    Kind("gzip", _constant(_GZIP), line_safe=False),
    Kind("form-encoded", _form_encoded),
    Kind("python-repr", _python_repr),
    Kind("trailing-comma", lambda value, _: value[:-1] + b",}"),
    Kind("trailing-text", lambda value, _: value + b" OK"),
    Kind("two-documents", lambda value, _: value + value),
    Kind("two-lines", lambda value, _: value + b"\n" + value, line_safe=False),
    # JSON in other clothes.
    Kind("not-utf8", _not_utf8),
    Kind("utf16", lambda value, _: b"\xff\xfe" + value.decode().encode("utf-16-le"), line_safe=False),
    Kind("byte-order-mark", lambda value, _: b"\xef\xbb\xbf" + value),
    Kind("raw-control-character", _appended(b'"note":"a\x01b"')),
    Kind("lone-surrogate", _appended(b'"note":"\\ud83d"')),
    Kind("nan", _appended(b'"score":NaN')),
    Kind("infinity", _appended(b'"score":-Infinity')),
    Kind("number-too-big", _appended(b'"score":1e999')),
    Kind("duplicate-key", _duplicate_key),
    Kind("deep-nesting", _appended(b'"note":' + b"[" * 2_000 + b"]" * 2_000)),
    # Not an object.
    Kind("array", lambda value, _: b"[" + value + b"]"),
    Kind("string", lambda value, _: to_json(value.decode())),
    Kind("number", _constant(b"42")),
    Kind("null", _constant(b"null")),
    Kind("empty-object", _constant(b"{}")),
    Kind("unknown-format", lambda value, _: value, line_safe=False),
    # Too much of it.
    Kind("message-too-big", _appended(b'"note":"' + b"x" * MIB + b'"'), huge=True),
    Kind("nesting-bomb", _constant(b"[" * 100_000 + b"]" * 100_000), huge=True),
    # Segment calls that break their own specification.
    Kind("call-without-type", _without("type"), _SEGMENT),
    Kind("call-of-unknown-type", _put("type", value="telepathy"), _SEGMENT),
    Kind("call-about-nobody", _edited(_nobody), _SEGMENT),
    Kind("user-id-is-object", _put("userId", value={"id": 7}), _SEGMENT),
    Kind("user-id-is-list", _put("userId", value=["u-7"]), _SEGMENT),
    Kind("user-id-too-long", _put("userId", value="u" * 1_025), _SEGMENT),
    Kind("message-id-too-long", _put("messageId", value="m" * 257), _SEGMENT),
    Kind("message-id-with-nul", _put("messageId", value="m\x001"), _SEGMENT),
    Kind("traits-is-text", _put("traits", value="premium"), _SEGMENT),
    Kind("time-is-no-time", _put("timestamp", value="yesterday"), _SEGMENT),
    Kind("time-without-zone", _put("timestamp", value="2026-01-05T10:00:00"), _SEGMENT),
    Kind("time-in-year-0", _put("timestamp", value="0000-01-01T00:00:00Z"), _SEGMENT),
    # Stripe webhooks that Stripe would not send.
    Kind("webhook-without-type", _without("type"), _STRIPE),
    Kind("webhook-without-data", _without("data"), _STRIPE),
    Kind("webhook-object-is-list", _put("data", "object", value=[]), _STRIPE),
    Kind("webhook-id-is-number", _put("id", value=17), _STRIPE),
    Kind("webhook-id-too-long", _put("id", value="evt_" + "1" * 256), _STRIPE),
    Kind("customer-id-too-long", _payer_put("cus_" + "1" * 1_024), _STRIPE),
    Kind("created-is-text", _put("created", value="soon"), _STRIPE),
    Kind("created-is-far-off", _put("created", value=10**18), _STRIPE),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _KINDS}


def _fitting(name: Format, *, huge: bool, line_safe: bool) -> tuple[Kind, ...]:
    return tuple(
        kind
        for kind in _KINDS
        if name in kind.formats and kind.huge == huge and (kind.line_safe or not line_safe)
    )


_CHOICES: Mapping[tuple[Format, bool, bool], tuple[Kind, ...]] = {
    (name, huge, line_safe): _fitting(name, huge=huge, line_safe=line_safe)
    for name in ("segment", "stripe")
    for huge in (False, True)
    for line_safe in (False, True)
}
