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

STATES: Final[dict[str, Any]] = {
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
}
"""One of each kind: set by events, numeric, derived, timed."""

STATED: Final = {
    name: Rules.from_data({**rules.as_data(), "traits": {"sources": ["b"]}, "states": STATES})
    for name, rules in RULES.items()
}
"""The rules of other histories, with traits and states."""

_NAMES: Final = ("paid", "seated", "installed", "reported", "seen")
_PERSONS: Final = (
    *(("user_id", value) for value in ("a", "b", "c", "d", "e", "f", "null")),
    *(("anonymous_id", value) for value in "ab"),
    ("previous_id", "a"),
    ("email", "a@b.test"),
)
_FEW: Final = (("user_id", "a"), ("user_id", "b"), ("anonymous_id", "a"), ("email", "a@b.test"))
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


def an_event(draw: Random, about_s: int | None = None) -> Event:
    """Some event of one to three participants.

    `about_s`: of few persons, so many seconds after 1970 or a few before; None: of anybody at any time.
    """
    persons = _PERSONS if about_s is None else _FEW
    participants = [_participant(draw, 0, "person", persons)]
    if draw.random() < 0.5:
        participants.append(_participant(draw, 1, draw.choice(["person", "group"]), persons))
    if draw.random() < 0.2:
        participants.append(_participant(draw, 2, "group", persons))
    payload = {
        "event_id": f"e{draw.randrange(12)}",
        "source": draw.choice("abc"),
        "event_name": draw.choice(_NAMES),
        "occurred_at": format_instant(_second(draw, about_s) * S),
        "participants": participants,
        "states": [_state(draw, one) for one in participants if draw.random() < 0.5],
        "measurements": [{"name": "seats", "value": draw.choice([0, 1, 5])}] if draw.random() < 0.3 else [],
        "memberships": list(_memberships(draw, participants)),
    }
    message = Message("t", 0, 0, 1, _FIRST_MS + draw.randrange(12) * S, json.dumps(payload).encode())
    decoded = decode(message, "event")
    assert decoded.problem is None, decoded.problem
    return decoded.events[0]


def _second(draw: Random, about_s: int | None) -> int:
    if about_s is None:
        return draw.randrange(-2, 12)
    return about_s - draw.choice([0, 0, 0, 0, 1, 1, 2, 5, 20])


def _participant(
    draw: Random, number: int, entity_type: str, persons: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    counts = [1, 1, 2, 2, 3] if persons is _PERSONS else [1, 1, 1, 1, 2]
    known = draw.sample(persons if entity_type == "person" else _GROUPS, draw.choice(counts))
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


def a_history(draw: Random, said_share: float, *, is_long: bool = False) -> tuple[Rules, list[Step]]:
    """Rules, and some steps: batches of events, operator events, and time that goes by up to twice.

    In a long one things come about in the order in which they happen: little of the past is told anew.
    """
    rules = STATED[draw.choice(list(STATED))]
    steps: list[Step] = []
    for number in range(draw.randrange(1, 41 if is_long else 9)):
        if draw.random() < said_share:
            steps.append(_said(draw, draw.choice(_KINDS)))
        else:
            about_s = 2 * number if is_long else None
            count = draw.choice([1, 1, 2, 3])
            steps.append([an_event(draw, about_s) for _ in range(count)])
    for _ in range(draw.randrange(3)):
        steps.insert(draw.randrange(len(steps) + 1), Tick(draw.randrange(80 if is_long else 20) * S))
    return rules, steps


def _said(draw: Random, kind: Any) -> Said:
    of: EntityType = draw.choice(("person", "person", "group"))
    names = draw.sample(_SAID_OF[of], 2 if kind in ("together", "apart") else 1)
    return Said(kind, tuple(names), draw.randrange(3), of)
