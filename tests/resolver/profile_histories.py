"""Small made-up histories of events that say something: traits, memberships, states, and things to wait for.

Few values and few instants, so that they meet, tie, repeat themselves and come late.
"""

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from schemas.decode import decode
from schemas.events import Event, Message
from schemas.identifiers import EntityType
from schemas.instants import format_instant
from schemas.rules import Rules
from tests.resolver.histories import RULES, Said

S: Final = 1_000
"""Rules say durations in seconds, so the instants here are seconds, in milliseconds."""

_FIRST_MS: Final = 1_000_000  # when the first of the events comes

_SECTIONS: Final[dict[str, Any]] = {
    "traits": {"sources": ["b"]},
    "states": {
        "paying": {
            "of": "person",
            "values": ["yes", "no", "late"],
            "events": [{"event": "paid", "value": "yes"}],
        },
        "seats": {
            "of": "person",
            "numeric": True,
            "events": [{"event": "seated", "measurement": "seats"}],
        },
        "size": {"of": "group", "values": ["small", "large"]},
        "worry": {
            "of": "person",
            "values": ["high", "some"],
            "when": [
                {"value": "high", "if": "paying = late and not seats < 2"},
                {"value": "some", "if": "paying in (late, no) or mood = dormant"},
            ],
        },
        "alarm": {"of": "person", "values": ["on"], "when": [{"value": "on", "if": "worry = high"}]},
        "mood": {
            "of": "person",
            "values": ["awake", "dormant"],
            "after": {"duration": "3s", "value": "dormant", "before": "awake"},
        },
        "setup": {
            "of": "person",
            "values": ["abandoned"],
            "within": {
                "duration": "4s",
                "value": "abandoned",
                "since": {"events": ["installed"]},
                "until": {"events": ["reported"]},
            },
        },
    },
}

STATED: Final = {name: Rules.from_data({**rules.as_data(), **_SECTIONS}) for name, rules in RULES.items()}
"""The rules of other histories, with traits and states."""

_NAMES: Final = ("paid", "seated", "installed", "reported", "seen")
_PERSONS: Final = (
    *(("user_id", value) for value in ("a", "b", "c", "d", "e", "f", "null")),
    *(("anonymous_id", value) for value in "ab"),
    ("previous_id", "a"),
    ("email", "a@b.test"),
)
_GROUPS: Final = (*(("domain", f"{name}.test") for name in "xyz"), ("group_id", "p"), ("group_id", "q"))
_SAID_OF: Final[dict[EntityType, Sequence[str]]] = {
    "person": (*(f"user_id={value}" for value in "abcdef"), "anonymous_id=a", "anonymous_id=b"),
    "group": ("domain=x.test", "domain=y.test", "domain=z.test", "group_id=p", "group_id=q"),
}
_KINDS: Final = ("together", "apart", "block", "unblock", "release", "erase")


class Tick(NamedTuple):
    """Time goes by, up to an instant (ms)."""

    until_ms: int


Step: TypeAlias = "list[Event] | Said | Tick"


def an_event(draw: Random) -> Event:
    """Some event of one to three participants."""
    participants = [_participant(draw, 0, "person")]
    if draw.random() < 0.5:
        participants.append(_participant(draw, 1, draw.choice(["person", "group"])))
    if draw.random() < 0.2:
        participants.append(_participant(draw, 2, "group"))
    payload = {
        "event_id": f"e{draw.randrange(12)}",
        "source": draw.choice("abc"),
        "event_name": draw.choice(_NAMES),
        "occurred_at": format_instant(draw.randrange(-2, 12) * S),
        "participants": participants,
        "states": [_state(draw, one) for one in participants if draw.random() < 0.5],
        "measurements": [{"name": "seats", "value": draw.choice([0, 1, 5])}] if draw.random() < 0.3 else [],
        "memberships": list(_memberships(draw, participants)),
    }
    message = Message("t", 0, 0, 1, _FIRST_MS + draw.randrange(12) * S, json.dumps(payload).encode())
    decoded = decode(message, "event")
    assert decoded.problem is None, decoded.problem
    return decoded.events[0]


def _participant(draw: Random, number: int, entity_type: str) -> dict[str, Any]:
    known = draw.sample(_PERSONS if entity_type == "person" else _GROUPS, draw.choice([1, 1, 2, 2, 3]))
    found: dict[str, Any] = {
        "ref": f"r{number}",
        "entity_type": entity_type,
        "identifiers": [{"type": kind, "value": value} for kind, value in known],
    }
    if draw.random() < 0.5:
        found["role"] = draw.choice(["payer", "other"])
    if draw.random() < 0.5:
        found["traits"] = {draw.choice(["name", "theme"]): draw.choice(["A", "B", None, 3, {"k": [1]}])}
    return found


def _state(draw: Random, participant: dict[str, Any]) -> dict[str, Any]:
    if participant["entity_type"] == "group":
        return {
            "of": participant["ref"],
            "state_name": "size",
            "state_value": draw.choice(["small", "large"]),
        }
    said: dict[str, Any] = draw.choice(
        [
            {"state_name": "paying", "state_value": draw.choice(["yes", "no", "late", "undeclared"])},
            {"state_name": "unlisted", "state_value": draw.choice("uv")},
            {"state_name": "seats", "state_numeric_value": draw.choice([1, 2, 3.5, -0.0])},
        ]
    )
    return {"of": participant["ref"], **said}


def _memberships(draw: Random, participants: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    persons = [one["ref"] for one in participants if one["entity_type"] == "person"]
    for one in participants:
        if one["entity_type"] == "group" and draw.random() < 0.7:
            said = {"person": draw.choice(persons), "group": one["ref"]}
            if draw.random() < 0.5:
                said["role"] = draw.choice(["owner", "staff"])
            if draw.random() < 0.3:
                said["ended"] = True
            yield said


def a_history(draw: Random, said_share: float, kinds: Sequence[str] = _KINDS) -> tuple[Rules, list[Step]]:
    """Rules, and up to ten steps: batches of events, operator events, and time that goes by."""
    rules = STATED[draw.choice(list(STATED))]
    steps: list[Step] = []
    for _ in range(draw.randrange(1, 9)):
        if draw.random() < said_share:
            steps.append(_said(draw, draw.choice(kinds)))
        else:
            steps.append([an_event(draw) for _ in range(draw.choice([1, 1, 2, 3]))])
    for _ in range(draw.randrange(3)):
        steps.insert(draw.randrange(len(steps) + 1), Tick(draw.randrange(20) * S))
    return rules, steps


def _said(draw: Random, kind: Any) -> Said:
    of: EntityType = draw.choice(("person", "person", "group"))
    names = draw.sample(_SAID_OF[of], 2 if kind in ("together", "apart") else 1)
    return Said(kind, tuple(names), draw.randrange(3), of)
