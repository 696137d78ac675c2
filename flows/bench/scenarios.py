"""The scenarios that need no broker. Each compares within one run; its budgets stand where it reports."""

from collections.abc import Iterable, Iterator
from typing import Any

from demo_producer.stories import Profile
from flows.bench.figures import Figure
from flows.bench.filling import fill, visits
from flows.bench.pairs import WARM_UP, Sides, apart, in_turns
from flows.bench.place import Place
from flows.bench.sides import naive, naive_by_batch, profiled, published, stream, validate
from flows.bench.traffic import Shape, again, messages, slices
from flows.wiring import Wiring
from resolver.keys import Keys
from schemas.events import Message

_SHAPES: tuple[Shape, ...] = ("event", "sources")
_SHAPE_NAMES = {"event": "canonical events", "sources": "Segment and Stripe"}
_STEPS = ("take", "decode", "bury", "link", "apply", "redis", "commit")
_IDENTITY = ("nodes", "links", "slots", "chunks", "synonyms", "marks", "quarantine", "suspended")
_KEPT = (*_IDENTITY, "history", "outbox")
_PROFILES = ("said", "profiles", "staff", "timers", "timelines")


def steady(place: Place, scale: float) -> Iterator[Figure]:
    """Traffic of which 95 % of the links are known, against the same flow that only reads and validates."""
    yield from _against_validating(place, scale, "steady", at_least=0.5)


def growth(place: Place, scale: float) -> Iterator[Figure]:
    """The same where two events in three bring a link never seen."""
    yield from _against_validating(place, scale, "growth", at_least=0.25)


def _against_validating(place: Place, scale: float, profile: Profile, at_least: float) -> Iterator[Figure]:
    for shape in _SHAPES:
        for workers in (1, 2):
            settings = place.settings(f"{profile}-{shape}-{workers}", workers)
            sides: Sides = {"stream": (stream, settings), "validate": (validate, settings)}
            rounds = in_turns(sides, _traffic(profile, shape, scale))
            what = f"{_SHAPE_NAMES[shape]}, {workers} worker{'s' if workers > 1 else ''}"
            ratio = rounds.ratio("validate", "stream")
            yield Figure(profile, f"{what}: of validating", ratio, "x", at_least=at_least)
            for side in ("validate", "stream"):
                yield Figure(profile, f"{what}: {side}", rounds.per_second(side), "msg/s")
    settings = place.settings(f"{profile}-published")
    sides = {"stream": (published, settings), "validate": (validate, settings)}
    rounds = in_turns(sides, _traffic(profile, "event", scale))
    what = "canonical events, 1 worker, and the publisher beside it"
    yield Figure(profile, f"{what}: of validating", rounds.ratio("validate", "stream"), "x")
    yield Figure(profile, f"{what}: stream", rounds.per_second("stream"), "msg/s")


def against_naive(place: Place, scale: float) -> Iterator[Figure]:
    """The stream against a resolver that makes one Redis call for each identifier."""
    for profile in ("steady", "growth"):
        settings = place.settings(f"naive-{profile}")
        sides: Sides = {
            "stream": (stream, settings),
            "naive": (naive, settings),
            "by batch": (naive_by_batch, settings),
        }
        rounds = in_turns(sides, _traffic(profile, "event", scale, 10_000))
        ratio, by_batch = rounds.ratio("naive", "stream"), rounds.ratio("by batch", "stream")
        yield Figure("naive", f"{profile}: stream against naive", ratio, "x", at_least=10)
        yield Figure("naive", f"{profile}: stream against naive that commits by batch", by_batch, "x")
        for side in ("stream", "naive", "by batch"):
            yield Figure("naive", f"{profile}: {side}", rounds.per_second(side), "msg/s")


def size(place: Place, scale: float) -> Iterator[Figure]:
    """The same events on a store of a million identifiers (times the scale) and on one of ten thousand."""
    small, large = place.settings("size-small"), place.settings("size-large")
    held = []
    for settings, identifiers in ((small, 10_000), (large, max(10_000, int(1_000_000 * scale)))):
        with Wiring(settings) as parts:
            held.append(fill(parts, identifiers))
    sides: Sides = {"small": (profiled, small), "large": (profiled, large)}
    each, rounds = _slice(scale, 15_000), _rounds(min(scale, 1)) + WARM_UP
    sizes = f"{held[1]:,} against {held[0]:,} identifiers"
    for name, share_new in (("known links", 0.0), ("one new link in three", 1 / 3)):
        seen = in_turns(sides, visits(each, rounds, held[0], share_new))
        yield Figure("size", f"{name}, {sizes}", 1 / seen.ratio("small", "large"), "x", at_most=1.2)
    anywhere = {  # a worker remembers 200,000 identifiers: of the large store, one in five
        settings.namespace: visits(each, rounds, identifiers, 0.0)
        for settings, identifiers in zip((small, large), held, strict=True)
    }
    seen = apart(sides, anywhere)
    yield Figure("size", f"known links from anywhere, {sizes}", 1 / seen.ratio("small", "large"), "x")
    in_redis = [seen.microseconds(side, "redis") for side in ("small", "large")]
    yield Figure("size", "the same, the part of it in Redis", in_redis[1] / in_redis[0], "x")


def memory(place: Place, scale: float) -> Iterator[Figure]:
    """Bytes of Redis for each identifier, after the demo's growing traffic."""
    settings = place.settings("memory")
    with Wiring(settings) as parts:
        in_turns({"stream": (stream, settings)}, _traffic("growth", "event", min(scale, 1), 30_000))
        used, identifiers = _used(parts)
        said, recent = _sizes(parts, _PROFILES), _recent_each_link(parts)
        transitions = parts.store.waiting()
    identity = sum(used[name] for name in _IDENTITY) / identifiers
    yield Figure("memory", f"identity, {identifiers:,} identifiers", identity, "bytes", at_most=400)
    for name in (*_IDENTITY, "history"):
        yield Figure("memory", f"{name}, each identifier", used[name] / identifiers, "bytes")
    yield Figure("memory", "outbox, each transition not published", used["outbox"] / transitions, "bytes")
    for name, size in said.items():
        yield Figure("memory", f"{name}, each identifier", size / identifiers, "bytes")
    yield Figure("memory", "recent events, each link", recent, "bytes")
    yield from _memory_of_visits(place, scale)


def _memory_of_visits(place: Place, scale: float) -> Iterator[Figure]:
    """The same visitors send ten times the events: all that is kept, before and after."""
    settings = place.settings("memory-visits")
    once = list(messages("growth", "event", _slice(scale, 30_000)))
    found = []
    with Wiring(settings) as parts:
        for traffic in ([once], (again(once, number) for number in range(1, 10))):
            in_turns({"stream": (stream, settings)}, traffic)
            used, identifiers = _used(parts)
            found.append(sum(used.values()) / identifiers)
            recent = _recent_each_link(parts)
    what = f"all that is kept after {10 * len(once):,} events, against {len(once):,} of the same visitors"
    yield Figure("memory", what, found[1] / found[0], "x", at_most=1.01)
    yield Figure("memory", "recent events after these, each link", recent, "bytes")


def _used(parts: Wiring) -> tuple[dict[str, int], int]:
    """Bytes of each kind of key, and the number of identifiers."""
    return _sizes(parts, _KEPT), _fields(parts, "nodes")


def _recent_each_link(parts: Wiring) -> float:
    """Bytes of the last events, which are for people to look at."""
    return _sizes(parts, ("recent",))["recent"] / _fields(parts, "links")


def _sizes(parts: Wiring, names: Iterable[str]) -> dict[str, int]:
    """Bytes of these kinds of key."""
    client: Any = parts.client
    keys = Keys(parts.settings.namespace)
    return {name: client.memory_usage(getattr(keys, name), samples=0) or 0 for name in names}


def _fields(parts: Wiring, name: str) -> int:
    client: Any = parts.client
    return int(client.hlen(getattr(Keys(parts.settings.namespace), name)))


def profile(place: Place, scale: float) -> Iterator[Figure]:
    """Where the time goes: microseconds of each message by step. `redis`: what scripts take of `apply`."""
    for kind in ("steady", "growth"):
        settings = place.settings(f"profile-{kind}")
        rounds = in_turns({"stream": (profiled, settings)}, _traffic(kind, "event", scale))
        for step in _STEPS:
            yield Figure("profile", f"{kind}: {step}", rounds.microseconds("stream", step), "us/msg")
        yield Figure("profile", f"{kind}: processor time of the worker", rounds.cpu_us("stream"), "us/msg")


def _traffic(profile: Profile, shape: Shape, scale: float, each: int = 20_000) -> Iterator[list[Message]]:
    return slices(profile, shape, _slice(scale, each), _rounds(scale) + WARM_UP)


def _slice(scale: float, each: int) -> int:
    return max(50, int(each * min(scale, 1)))


def _rounds(scale: float) -> int:
    """Seven, so that the median is far from what a neighbour did; more where somebody asks for more."""
    return max(1, round(7 * scale))
