"""Traits, memberships and states: what they add to a stream, to long timelines, and to a merge.

`states`: the demo's traffic under rules that look at every event, against the flow that only reads and
validates. Timelines and merges are measured at the call, as `hubs` does.
"""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from demo_producer.stories import Profile
from flows.bench.figures import Figure, middle
from flows.bench.filling import publish_nothing
from flows.bench.pairs import WARM_UP, Sides, in_turns
from flows.bench.place import Place
from flows.bench.sides import stream, validate
from flows.bench.traffic import slices
from flows.wiring import Wiring
from resolver.links import Linker
from resolver.store import Applied, Batch, Move
from schemas.decode import decode
from schemas.events import Event, Message
from schemas.instants import format_instant

_FACTS = 10_000
_ROUNDS = 21
_BATCH = 500
_NOW_MS = 1_780_000_000_000

RULES = {
    "traits": {"sources": ["stripe", "segment"]},
    "states": {
        "visitor_pages": {
            "of": "person",
            "values": ["seen"],
            "events": [{"event": "page", "value": "seen"}, {"event": "screen", "value": "seen"}],
        },
        "billing_lifecycle": {
            "of": "person",
            "values": ["active", "past_due", "churned"],
            "events": [
                {"event": "invoice.paid", "value": "active"},
                {"event": "invoice.payment_failed", "value": "past_due"},
                {"event": "customer.subscription.deleted", "value": "churned"},
            ],
        },
        "visitor_activity": {
            "of": "person",
            "values": ["active", "dormant"],
            "after": {"duration": "30d", "value": "dormant", "before": "active"},
        },
        "visitor_signup": {
            "of": "person",
            "values": ["abandoned"],
            "within": {
                "duration": "24h",
                "value": "abandoned",
                "since": {"events": ["page"]},
                "until": {"events": ["identify"]},
            },
        },
        "customer_health": {
            "of": "person",
            "values": ["at_risk", "well"],
            "when": [
                {"value": "at_risk", "if": "billing_lifecycle = past_due or visitor_activity = dormant"},
                {"value": "well", "if": "billing_lifecycle = active"},
            ],
        },
    },
}


def states(place: Place, scale: float) -> Iterator[Figure]:
    """Everything on, against validating; a fact behind ten thousand; a merge of as many and as many."""
    yield from _streams(place, scale, "steady", 0.5)
    yield from _streams(place, scale, "growth", 0.25)
    yield from _long_timelines(place, scale)
    yield from _merges(place, scale)


def _streams(place: Place, scale: float, profile: Profile, at_least: float) -> Iterator[Figure]:
    for workers in (1, 2):
        settings = place.settings(f"states-{profile}-{workers}", workers, RULES)
        sides: Sides = {"stream": (stream, settings), "validate": (validate, settings)}
        each, rounds = max(50, int(20_000 * min(scale, 1))), max(1, round(7 * scale)) + WARM_UP
        found = in_turns(sides, slices(profile, "event", each, rounds))
        what = f"{profile}, {workers} worker{'s' if workers > 1 else ''}"
        ratio = found.ratio("validate", "stream")
        yield Figure("states", f"{what}: of validating", ratio, "x", at_least=at_least)
        for side in ("validate", "stream"):
            yield Figure("states", f"{what}: {side}", found.per_second(side), "msg/s")


class _Calls:
    """Batches of events straight into the store, and what a call takes."""

    def __init__(self, parts: Wiring) -> None:
        self._parts, self._linker = parts, Linker(parts.keyring, parts.settings.rules)
        self._at: int | None = None

    def seconds(self, events: Sequence[Event]) -> float:
        """Put these in; what the call took."""
        expected, self._at = self._at, (self._at or 0) + 1
        move = Move("bench-states", 0, expected, self._at)
        batch = Batch((move,), self._linker.evidence(events), facts=self._linker.facts(events))
        started = time.perf_counter()
        outcome = self._parts.store.apply(batch)
        taken = time.perf_counter() - started
        assert isinstance(outcome, Applied), outcome
        publish_nothing(self._parts)
        return taken


def _fact(number: int, who: Sequence[tuple[str, str]], value: str | None) -> Event:
    """Somebody's billing became something; None: only that somebody was seen."""
    payload: dict[str, Any] = {
        "event_id": f"f-{number}",
        "source": "bench",
        "event_name": "billing",
        "occurred_at": format_instant(_NOW_MS + 1_000 * number),
        "participants": [
            {
                "ref": "who",
                "entity_type": "person",
                "identifiers": [{"type": kind, "value": one} for kind, one in who],
            }
        ],
        "states": []
        if value is None
        else [{"of": "who", "state_name": "billing_lifecycle", "state_value": value}],
    }
    message = Message("bench", 0, number, number + 1, _NOW_MS + 1_000 * number, json.dumps(payload).encode())
    (event,) = decode(message, "event").events
    return event


def _value(number: int) -> str:
    return ("active", "past_due", "churned")[number % 3]


def _long_timelines(place: Place, scale: float) -> Iterator[Figure]:
    """One fact behind many, against one behind few; both in the order of time."""
    numbers, facts = count(), max(100, int(_FACTS * scale))
    with Wiring(place.settings("states-timelines", rules=RULES)) as parts:
        calls = _Calls(parts)
        long, short = (("user_id", "u-long"),), (("user_id", "u-short"),)
        for _ in range(0, facts, _BATCH):
            batch = [next(numbers) for _ in range(_BATCH)]
            calls.seconds([_fact(number, long, _value(number)) for number in batch])
        calls.seconds([_fact(number, short, _value(number)) for number in [next(numbers) for _ in range(10)]])
        took: dict[str, list[float]] = {"long": [], "short": []}
        for _ in range(_ROUNDS):
            for name, who in (("long", long), ("short", short)):
                number = next(numbers)
                took[name].append(calls.seconds([_fact(number, who, _value(number))]))
    ratio = middle([a / b for a, b in zip(took["long"], took["short"], strict=True)])
    yield Figure("states", f"a fact behind {facts:,} others, against one behind few", ratio, "x", at_most=1.5)
    yield Figure("states", "a call with one fact behind many", middle(took["long"]) * 1e3, "ms")


def _merges(place: Place, scale: float) -> Iterator[Figure]:
    """Two entities with many facts each become one, in one call."""
    numbers, facts, took = count(), max(100, int(_FACTS * scale)), []
    with Wiring(place.settings("states-merges", rules=RULES)) as parts:
        calls = _Calls(parts)
        for turn in range(3):
            both = (("user_id", f"u-{turn}"),), (("email", f"u{turn}@bench.example"),)
            for _ in range(0, 2 * facts, _BATCH):
                batch = [next(numbers) for _ in range(_BATCH)]
                calls.seconds([_fact(number, both[number % 2], _value(number)) for number in batch])
            took.append(calls.seconds([_fact(next(numbers), (*both[0], *both[1]), None)]))
    yield Figure("states", f"a merge of two entities with {facts:,} facts each", middle(took) * 1e3, "ms")
