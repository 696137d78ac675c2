"""Segment calls: identify, track, page, screen, alias and group, one by one or in a `batch` envelope.

**Who.** The user of a call is one person, known by `user_id`, `anonymous_id`, and by every `email` and
`phone` that is the user's own: in the traits (not of a group call, whose traits are the group's), in
`context.traits`, at the top level, and in the properties, unless the name of a track call says that they are
somebody else's ("User Invited"). A `user_id` that looks like an address stays a `user_id`. `groupId`, of a
group call or of the context, is a group known by `group_id`; only a group call, and the "Account Added User"
and "Account Removed User" of Segment's B2B SaaS spec, say that the user belongs to it. Device and advertising
ids are none of ours: devices change hands.

**Alias.** `previousId` is an identifier of its own type, `previous_id`, since a call does not say whether it
was a user id or an anonymous id. `schemas.synonyms` says which identifiers it is one with.

**When.** `timestamp`, else `originalTimestamp`, else `sentAt` (also of the envelope), else on arrival.

**Which.** The event id is the `messageId`. Without one it is a digest of the call, so that the same call sent
twice is still one event.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import Draft, assemble, assemble_each
from schemas.errors import BadMessage
from schemas.events import Decoded, Event, Json, Membership, Message
from schemas.identifiers import MakeIdentifier
from schemas.instants import parse_instant
from schemas.strict_json import digest
from schemas.validation import refusal

SOURCE = "segment"
USER, GROUP = "user", "group"

# PHP writes an empty object as an empty list, and many libraries write null for none.
_Object = dict[str, Any] | list[Any] | None
_Id = str | int | None


class SegmentCall(BaseModel):
    """The fields of a call that are read here; whatever else it has is left alone."""

    model_config = ConfigDict(strict=True, extra="ignore")

    type: Literal["identify", "track", "page", "screen", "alias", "group"]
    message_id: str | None = Field(None, alias="messageId")
    user_id: _Id = Field(None, alias="userId")
    anonymous_id: _Id = Field(None, alias="anonymousId")
    previous_id: _Id = Field(None, alias="previousId")
    group_id: _Id = Field(None, alias="groupId")
    event: str | None = None
    email: Any = None
    traits: _Object = None
    properties: _Object = None
    context: _Object = None
    timestamp: str | None = None
    original_timestamp: str | None = Field(None, alias="originalTimestamp")
    sent_at: str | None = Field(None, alias="sentAt")


_validate = SegmentCall.__pydantic_validator__.validate_python

_EMAIL_NAMES = frozenset({"email", "emailaddress"})
_PHONE_NAMES = frozenset({"phone", "phonenumber"})
# Words, by their beginnings, with which the name of a track call says whose the address in its properties is.
_OWN = ("sign", "regist", "login", "logged", "subscri")
_OTHERS = ("invit", "refer", "shar", "friend", "recipient", "forward", "gift", "delegat", "assign")
_OTHERS_IF_CHANGED = (
    "user",
    "person",
    "member",
    "contact",
    "customer",
    "lead",
    "employee",
    "teammate",
    "colleague",
)
_CHANGES = ("add", "remov", "import")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_JOINS = {"account added user": False, "account removed user": True}


class SegmentCalls:
    """The format `segment`: a message is one call, or an envelope with a `batch` of them."""

    name = "segment"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """One event per call. Of a batch the good calls are taken even where others are at fault."""
        if isinstance(payload, dict) and "batch" in payload:
            return assemble_each(payload["batch"], "batch", lambda call: _event(call, message, payload, make))
        return Decoded((_event(payload, message, {}, make),))


def _event(payload: Json, message: Message, envelope: Mapping[str, Json], make: MakeIdentifier) -> Event:
    try:
        call: SegmentCall = _validate(payload)
    except ValidationError as error:
        raise refusal(error) from None
    _check_required(call)
    context = {**_object(envelope.get("context")), **_object(call.context)}
    participants = [_user(call, context)]
    memberships = []
    group_id = _text(call.group_id) or _text(context.get("groupId"))
    if group_id:
        participants.append(_group(call, group_id))
        memberships = list(_memberships(call))
    return assemble(
        message,
        make,
        event_id=call.message_id or digest(payload),
        source=SOURCE,
        event_name=call.event if call.type == "track" and call.event else call.type,
        event_type=call.type,
        occurred_at_ms=_instant(call, envelope),
        participants=participants,
        memberships=memberships,
    )


def _check_required(call: SegmentCall) -> None:
    """What Segment's spec requires of a call beyond its user."""
    required: tuple[tuple[str, object], ...] = ()
    match call.type:
        case "alias":
            required = (("userId", _text(call.user_id)), ("previousId", _text(call.previous_id)))
        case "group":
            context = _object(call.context)
            required = (("groupId", _text(call.group_id) or _text(context.get("groupId"))),)
        case "track":
            required = (("event", call.event),)
    for name, value in required:
        if not value:
            raise BadMessage("schema", f"{name}: required in {call.type} calls")


def _user(call: SegmentCall, context: Mapping[str, Json]) -> Draft:
    own = {**_object(context.get("traits")), **({} if call.type == "group" else _object(call.traits))}
    identifiers = [*_ids(call), *_addresses(_object(context.get("traits")))]
    if call.type != "group":
        identifiers += _addresses(_object(call.traits))
    if isinstance(call.email, str):
        identifiers.append(("email", call.email))
    if call.type != "group" and not _speaks_of_others(call.event or ""):
        identifiers += _addresses(_object(call.properties))
    return Draft("person", identifiers, USER, None, own)


def _ids(call: SegmentCall) -> Iterator[tuple[str, str]]:
    given = [("user_id", call.user_id), ("anonymous_id", call.anonymous_id)]
    if call.type == "alias":
        given.append(("previous_id", call.previous_id))
    for identifier_type, value in given:
        if text := _text(value):
            yield identifier_type, text


def _addresses(traits: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    for name, value in traits.items():
        if not isinstance(value, str) or not value:
            continue
        plain = name.lower().replace("_", "").replace("-", "").replace(" ", "")
        if plain in _EMAIL_NAMES:
            yield "email", value
        elif plain in _PHONE_NAMES:
            yield "phone", value


@lru_cache(maxsize=10_000)
def _speaks_of_others(event: str) -> bool:
    """Whether the address in the properties of this track call is likely somebody else's.

    In doubt it is the user's own: the key says `email`, not `invitee_email`. But "User Invited", "Contact
    Added" or "Gift Sent" speak of another person, whom the address would make one with the user.
    """
    words = [word.lower() for word in _WORD.findall(event)]

    def has(stems: tuple[str, ...]) -> bool:
        return any(word.startswith(stems) for word in words)

    return not has(_OWN) and (has(_OTHERS) or (has(_OTHERS_IF_CHANGED) and has(_CHANGES)))


def _group(call: SegmentCall, group_id: str) -> Draft:
    traits = _object(call.traits) if call.type == "group" else {}
    return Draft("group", [("group_id", group_id)], GROUP, None, traits)


def _memberships(call: SegmentCall) -> Iterator[Membership]:
    if call.type == "group":
        yield Membership(USER, GROUP, None, ended=False)
    elif call.type == "track" and (name := (call.event or "").lower()) in _JOINS:
        role = _object(call.properties).get("role")
        yield Membership(USER, GROUP, role if isinstance(role, str) and role else None, _JOINS[name])


def _instant(call: SegmentCall, envelope: Mapping[str, Json]) -> int | None:
    sent_at = envelope.get("sentAt")
    given = (
        ("timestamp", call.timestamp),
        ("originalTimestamp", call.original_timestamp),
        ("sentAt", call.sent_at),
        ("sentAt", sent_at if isinstance(sent_at, str) else None),
    )
    return next((parse_instant(text, name) for name, text in given if text), None)


def _object(value: object) -> dict[str, Json]:
    return cast(dict[str, Json], value) if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """An id as text. Numbers are common in the wild and mean their digits; everything else is no id."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
