"""The canonical event, as producers send it: the shape that the exported JSON Schema describes.

Fields that the shape does not know are ignored, so that a producer may add some before Nexus knows them.
Wrong types are refused and never converted: an id that arrives as a number today arrives as text tomorrow and
would be another.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.assembly import Draft, assemble
from schemas.errors import BadMessage
from schemas.events import (
    MAX_IDENTIFIERS,
    MAX_PARTICIPANTS,
    Decoded,
    Event,
    Json,
    Measurement,
    Membership,
    Message,
    StateFact,
)
from schemas.identifiers import EntityType, MakeIdentifier
from schemas.instants import parse_instant
from schemas.validation import refusal

# Lengths count characters here, as JSON Schema does; bytes are counted when the event is assembled.
Text = Annotated[str, Field(min_length=1, max_length=256)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class IdentifierShape(_Shape):
    """One identifier, in any spelling. A value without a normal form is rejected, and the rest lives on."""

    type: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    value: Annotated[str, Field(max_length=1024)]


class ParticipantShape(_Shape):
    """A person or a group that the event is about. Memberships and states of this event call it by `ref`."""

    ref: Text | None = None
    entity_type: Literal["person", "group"]
    role: Text | None = None
    identifiers: Annotated[list[IdentifierShape], Field(max_length=MAX_IDENTIFIERS)]
    traits: dict[str, Any] = Field(default_factory=dict, description="Any JSON; null unsets a trait.")


class MembershipShape(_Shape):
    """`person` and `group` are refs. `ended` ends that role."""

    person: Text
    group: Text
    role: Text | None = None
    ended: bool = False


class StateShape(_Shape):
    """The state `state_name` of the participant `of` became this value, a text, a number, or both."""

    of: Text
    state_name: Text
    state_value: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    state_numeric_value: Number | None = None


class MeasurementShape(_Shape):
    """A number that the event carries, and its unit."""

    name: Text
    value: Number
    unit: Text | None = None


class EventShape(_Shape):
    """One thing that happened, to whom, and what it says about them."""

    event_id: Text
    source: Text
    event_name: Text
    event_type: Text | None = None
    occurred_at: str = Field(
        description="RFC 3339 with a zone. More than 5 minutes in the future counts as the time of arrival.",
        json_schema_extra={"format": "date-time"},
    )
    participants: Annotated[list[ParticipantShape], Field(max_length=MAX_PARTICIPANTS)]
    memberships: list[MembershipShape] = Field(default_factory=list)
    states: list[StateShape] = Field(default_factory=list)
    measurements: list[MeasurementShape] = Field(default_factory=list)


_validate = EventShape.__pydantic_validator__.validate_python


class CanonicalEvent:
    """The format `event`: one message is one event."""

    name = "event"

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """The one event of the message, or `BadMessage`."""
        try:
            shape: EventShape = _validate(payload)
        except ValidationError as error:
            raise refusal(error) from None
        return Decoded((_event(shape, message, make),))


def _event(shape: EventShape, message: Message, make: MakeIdentifier) -> Event:
    if shape.memberships or shape.states:
        _check_refs(shape)
    return assemble(
        message,
        make,
        event_id=shape.event_id,
        source=shape.source,
        event_name=shape.event_name,
        event_type=shape.event_type,
        occurred_at_ms=parse_instant(shape.occurred_at, "occurred_at"),
        participants=[_draft(each) for each in shape.participants],
        memberships=[
            Membership(each.person, each.group, each.role, each.ended) for each in shape.memberships
        ],
        states=[_state(each, place) for place, each in enumerate(shape.states)],
        measurements=[Measurement(each.name, each.value, each.unit) for each in shape.measurements],
    )


def _draft(shape: ParticipantShape) -> Draft:
    identifiers = [(each.type, each.value) for each in shape.identifiers]
    return Draft(shape.entity_type, identifiers, shape.ref, shape.role, shape.traits)


def _state(shape: StateShape, place: int) -> StateFact:
    if shape.state_value is None and shape.state_numeric_value is None:
        raise BadMessage("schema", f"states.{place}: state_value or state_numeric_value is required")
    return StateFact(shape.of, shape.state_name, shape.state_value, shape.state_numeric_value)


def _check_refs(shape: EventShape) -> None:
    """Every ref that a membership or a state names must be one participant, of the right entity type."""
    entity_types: dict[str, EntityType] = {}
    for place, participant in enumerate(shape.participants):
        if participant.ref is None:
            continue
        if participant.ref in entity_types:
            raise BadMessage("schema", f"participants.{place}.ref: given twice")
        entity_types[participant.ref] = participant.entity_type
    for place, membership in enumerate(shape.memberships):
        if entity_types.get(membership.person) != "person":
            raise BadMessage("schema", f"memberships.{place}.person: not the ref of a person")
        if entity_types.get(membership.group) != "group":
            raise BadMessage("schema", f"memberships.{place}.group: not the ref of a group")
    for place, state in enumerate(shape.states):
        if state.of not in entity_types:
            raise BadMessage("schema", f"states.{place}.of: not the ref of a participant")
