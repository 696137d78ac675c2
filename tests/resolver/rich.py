"""Made-up events that say something of those they name: traits, states, memberships, activity."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from schemas.decode import decode
from schemas.events import Event, Message
from schemas.instants import format_instant
from schemas.rules import Rules

S = 1_000
"""Everything happens within a few seconds (ms)."""

RULES = Rules.from_data(
    {
        "states": {
            "paying": {
                "of": "person",
                "values": ["yes", "no", "late"],
                "events": [{"event": "paid", "value": "yes"}],
            },
            "seats": {"of": "person", "numeric": True},
            "size": {"of": "group", "values": ["small", "large"]},
            "worry": {"of": "person", "values": ["high"], "when": [{"value": "high", "if": "paying = late"}]},
            "mood": {
                "of": "person",
                "values": ["awake", "dormant"],
                "after": {"duration": "3s", "value": "dormant", "before": "awake"},
            },
        }
    }
)


def saying(
    number: int,
    *participants: Mapping[str, Any],
    second: int | None = None,
    ms: int | None = None,
    **fields: Any,
) -> Event:
    """The event `e<number>` as a producer sends it, that occurred at a second and came at `ms` (both default
    to the number); each participant has `identifiers` as `type=value` texts.
    """
    payload = {
        "event_id": f"e{number}",
        "source": "app",
        "event_name": "seen",
        "occurred_at": format_instant(S * (number if second is None else second)),
        "participants": [{**one, "identifiers": _named(one["identifiers"])} for one in participants],
        **fields,
    }
    arrived = 1_000_000 + (number if ms is None else ms)
    decoded = decode(Message("t", 0, 0, 1, arrived, json.dumps(payload).encode()), "event")
    assert decoded.problem is None, decoded.problem
    return decoded.events[0]


def _named(identifiers: Sequence[str]) -> list[dict[str, str]]:
    return [dict(zip(("type", "value"), one.split("="), strict=True)) for one in identifiers]


def person(*identifiers: str, **fields: Any) -> dict[str, Any]:
    """A participant with the ref `person`."""
    return {"ref": "person", "entity_type": "person", "identifiers": identifiers, **fields}


def group(*identifiers: str, **fields: Any) -> dict[str, Any]:
    """A participant with the ref `group`."""
    return {"ref": "group", "entity_type": "group", "identifiers": identifiers, **fields}


def membership(role: str | None = None, *, ended: bool = False) -> list[dict[str, Any]]:
    """What an event says of its person in its group."""
    return [{"person": "person", "group": "group", "role": role, "ended": ended}]


_PERSONS = [f"user_id={one}" for one in "abcdef"] + ["anonymous_id=a", "anonymous_id=b", "email=a@b.test"]
_GROUPS = ["domain=x.test", "domain=y.test", "group_id=p", "group_id=q"]


def anything(rng: Random) -> Event:
    """An event with few values and few instants, that says a little of everything."""
    number = rng.randrange(40)
    named = _person(rng)
    if rng.random() < 0.5:
        return saying(number, named, second=rng.randrange(12), ms=rng.randrange(12), states=_states(rng))
    company = group(*rng.sample(_GROUPS, rng.choice([1, 2])), traits=_traits(rng))
    states = [{"of": "group", "state_name": "size", "state_value": rng.choice(["small", "large"])}]
    memberships = membership(rng.choice([None, "owner"]), ended=rng.random() < 0.3)
    happened = {"second": rng.randrange(12), "ms": rng.randrange(12)}
    return saying(number, named, company, **happened, states=states, memberships=memberships)


def _person(rng: Random) -> dict[str, Any]:
    return person(*rng.sample(_PERSONS, rng.choice([1, 1, 2, 3])), traits=_traits(rng))


def _traits(rng: Random) -> dict[str, Any]:
    return {rng.choice(["name", "plan"]): rng.choice(["A", "B", None, 3])} if rng.random() < 0.6 else {}


def _states(rng: Random) -> list[dict[str, Any]]:
    paying = {"of": "person", "state_name": "paying", "state_value": rng.choice(["yes", "no", "late"])}
    seats = {"of": "person", "state_name": "seats", "state_numeric_value": rng.choice([1, 2.5])}
    return rng.sample([paying, seats], rng.choice([0, 1, 2]))
