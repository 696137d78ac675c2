"""Operator events: what a person decided about identities, as a message of the control topic.

    {"operation": "apart", "operation_id": "5f0c…", "namespace": "acme", "who": "ada", "why": "two sisters",
     "a": {"entity_type": "person", "type": "email", "value": "bo@acme.example"},
     "b": {"entity_type": "person", "type": "email", "value": "cy@acme.example"}}

- `together` and `apart` name two identifiers, `a` and `b`; `block`, `unblock` and `release` one,
  `identifier`.
- `rules` brings other rules into force: `rules` has all of them, as the store keeps them.
- `erase` names an `entity_type` and keys alone, in hex: those `erased`, and the quarantined ones that they
  touched, which are `blocked` from then on. It holds no value: it must not keep what it is there to remove.
- `retract` names an event by its `source` and `event_id`, and the keys of the identifiers that it `touched`,
  as far as they were known when it was decided: only the log can tell what rested on it.
- `who` and `why` are for people: nothing is computed from them.

An operator event acts on the whole log, whatever its place in it. Of two that contradict each other the later
one counts, by log position: (`ingested_at`, `nexus-operator`, `operation_id`).
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.assembly import check_text, ingestion_instant
from schemas.errors import BadMessage, BadValue, WrongRule
from schemas.events import EventKey, Json, Message, log_position
from schemas.identifiers import KEY_BYTES, EntityType, Identifier, MakeIdentifier, identifier
from schemas.rules import Rules
from schemas.strict_json import canonical, parse
from schemas.validation import refusal

SOURCE: Final = "nexus-operator"
"""The source of every operator event, in its log position and in the cause of what it changes."""

FORMAT: Final = "operation"
"""What a dead letter says that it was read as."""

MAX_OPERATION_BYTES: Final = 32 * 1024 * 1024
MAX_ERASED: Final = 500_000
"""Keys in one erasure: more than any person has, and well below what a message may hold."""
MAX_TOUCHED: Final = MAX_ERASED
"""Keys in one retraction: copies of an event may name others each time."""
MAX_WHY_BYTES: Final = 1_000
MAX_WHO_BYTES: Final = 256

PairKind = Literal["together", "apart"]
OneKind = Literal["block", "unblock", "release"]
Kind: TypeAlias = PairKind | OneKind | Literal["erase", "retract", "rules"]

_HEX_KEY: Final = f"^[0-9a-f]{{{2 * KEY_BYTES}}}$"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator event. `identifiers`: two of a pair, one of the others, none of an erasure, whose keys are
    in `erased` and `blocked`, and none of `rules` and `retract`, which are about persons and groups alike.
    A retraction has the `event`, and the keys of what it `touched`.
    """

    kind: Kind
    entity_type: EntityType
    namespace: str
    operation_id: str
    who: str
    why: str
    identifiers: tuple[Identifier, ...] = ()
    erased: tuple[bytes, ...] = ()
    blocked: tuple[bytes, ...] = ()
    rules: Rules | None = None
    event: EventKey | None = None
    touched: tuple[bytes, ...] = ()

    def position(self, ingested_at_ms: int) -> bytes:
        """Its log position, when it came in at this instant."""
        return log_position(ingested_at_ms, SOURCE, self.operation_id)


class _Shape(BaseModel):
    # Unlike an event's, a field that is not known is refused: it may limit what the operation is to do.
    model_config = ConfigDict(strict=True, extra="forbid")


class _IdentifierShape(_Shape):
    entity_type: Literal["person", "group"]
    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Annotated[str, Field(max_length=1024)]


class _OperationShape(_Shape):
    operation_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    namespace: str
    who: str
    why: str = ""


class _PairShape(_OperationShape):
    operation: PairKind
    a: _IdentifierShape
    b: _IdentifierShape


class _OneShape(_OperationShape):
    operation: OneKind
    identifier: _IdentifierShape


class _EraseShape(_OperationShape):
    operation: Literal["erase"]
    entity_type: EntityType
    erased: Annotated[
        list[Annotated[str, Field(pattern=_HEX_KEY)]], Field(min_length=1, max_length=MAX_ERASED)
    ]
    blocked: list[Annotated[str, Field(pattern=_HEX_KEY)]] = Field(
        default_factory=list, max_length=MAX_ERASED
    )


class _RetractShape(_OperationShape):
    operation: Literal["retract"]
    source: str
    event_id: str
    touched: list[Annotated[str, Field(pattern=_HEX_KEY)]] = Field(
        default_factory=list, max_length=MAX_TOUCHED
    )


class _RulesShape(_OperationShape):
    operation: Literal["rules"]
    rules: dict[str, Any]


_AnyShape: TypeAlias = _PairShape | _OneShape | _EraseShape | _RetractShape | _RulesShape
_Known: TypeAlias = Annotated[_AnyShape, Field(discriminator="operation")]
_KNOWN: Final[TypeAdapter[_AnyShape]] = TypeAdapter(_Known)
_KINDS: Final = ("together", "apart", "block", "unblock", "release", "erase", "retract", "rules")


def encode_operation(operation: Operation) -> bytes:
    """The message of an operator event: one line of JSON, the same for the same event."""
    named = [
        {"entity_type": one.entity_type, "type": one.identifier_type, "value": one.identifier_value}
        for one in operation.identifiers
    ]
    message: dict[str, Any] = {
        "operation": operation.kind,
        "operation_id": operation.operation_id,
        "namespace": operation.namespace,
        "who": operation.who,
        "why": operation.why,
    }
    if operation.kind == "erase":
        message |= {
            "entity_type": operation.entity_type,
            "erased": [key.hex() for key in operation.erased],
            "blocked": [key.hex() for key in operation.blocked],
        }
    elif operation.event is not None:
        message |= {**operation.event._asdict(), "touched": [key.hex() for key in operation.touched]}
    elif operation.rules is not None:
        message["rules"] = json.loads(operation.rules.to_json())
    elif operation.kind in ("together", "apart"):
        message |= {"a": named[0], "b": named[1]}
    else:
        message["identifier"] = named[0]
    return canonical(message)


def decode_operation(message: Message, namespace: str, make: MakeIdentifier = identifier) -> Operation | None:
    """The operator event in a message; None for one of another namespace, which is not ours to judge.

    `make` normalises a value as those of events are: `Rules.identifier` of the namespace's rules. Raises
    BadMessage, and nothing else: whatever is written into the control topic, the stream goes on.
    """
    try:
        return _decode(message, namespace, make)
    except BadMessage:
        raise
    except Exception as error:  # noqa: BLE001 -- the promise is that nothing in a topic can stop the stream
        # Only a bug of ours comes here. One dead letter that names it beats a crash loop on the same message.
        raise BadMessage("unexpected", f"message: {type(error).__name__} while reading it") from None


def _decode(message: Message, namespace: str, make: MakeIdentifier) -> Operation | None:
    text = message.value
    if text is None:
        raise BadMessage("tombstone", "message: it has no value")
    if len(text) > MAX_OPERATION_BYTES:
        raise BadMessage("limit", "message: longer than 32 MiB")
    ingestion_instant(message)
    payload = parse(text)
    if not isinstance(payload, dict):
        raise BadMessage("schema", "message: not a JSON object")
    if isinstance(payload.get("namespace"), str) and payload["namespace"] != namespace:
        return None
    return _operation(payload, make)


def _operation(payload: dict[str, Json], make: MakeIdentifier) -> Operation:
    if isinstance(payload.get("operation"), str) and payload["operation"] not in _KINDS:
        raise BadMessage("unknown-operation", f"operation: none of {', '.join(_KINDS)}")
    try:
        shape = _KNOWN.validate_python(payload)
    except ValidationError as error:
        raise _refusal(error) from None
    check_text(shape.who, "who", MAX_WHO_BYTES)
    if shape.why:
        check_text(shape.why, "why", MAX_WHY_BYTES)
    common = (shape.namespace, shape.operation_id, shape.who, shape.why)
    if isinstance(shape, _EraseShape):
        erased = tuple(sorted({bytes.fromhex(key) for key in shape.erased}))
        blocked = {bytes.fromhex(key) for key in shape.blocked}.difference(erased)
        return Operation(shape.operation, shape.entity_type, *common, (), erased, tuple(sorted(blocked)))
    if isinstance(shape, _RetractShape):
        return _retraction(shape, common)
    if isinstance(shape, _RulesShape):
        return Operation(shape.operation, "person", *common, rules=_rules(shape.rules))
    identifiers = _identifiers(shape, make)
    return Operation(shape.operation, identifiers[0].entity_type, *common, identifiers)


def _retraction(shape: _RetractShape, common: tuple[str, str, str, str]) -> Operation:
    for path, text in (("source", shape.source), ("event_id", shape.event_id)):
        check_text(text, path)
    touched = tuple(sorted({bytes.fromhex(key) for key in shape.touched}))
    event = EventKey(shape.source, shape.event_id)
    return Operation("retract", "person", *common, event=event, touched=touched)


def _rules(written: dict[str, Any]) -> Rules:
    try:
        return Rules.from_json(json.dumps(written))
    except WrongRule as error:
        raise BadMessage("schema", str(error)) from None


def _refusal(error: ValidationError) -> BadMessage:
    if error.errors(include_url=False, include_input=False)[0]["type"] == "extra_forbidden":
        return BadMessage("schema", "message: has a field that this operation has not")  # its name is payload
    return refusal(error)


def _identifiers(shape: _PairShape | _OneShape, make: MakeIdentifier) -> tuple[Identifier, ...]:
    if isinstance(shape, _OneShape):
        return (_identifier(shape.identifier, "identifier", make),)
    a, b = _identifier(shape.a, "a", make), _identifier(shape.b, "b", make)
    if a == b:
        raise BadMessage("schema", "b: the same identifier as a")
    if a.entity_type != b.entity_type:
        raise BadMessage("schema", "b.entity_type: another one than that of a")
    return a, b


def _identifier(shape: _IdentifierShape, path: str, make: MakeIdentifier) -> Identifier:
    try:
        return make(shape.entity_type, shape.type, shape.value)
    except BadValue as error:
        raise BadMessage("schema", f"{path}: the value {error.reason}") from None
