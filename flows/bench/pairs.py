"""Sides in turns over the same slices of traffic, so that what disturbs one disturbs the others."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.bench.figures import middle
from flows.bench.lanes import append
from flows.bench.sides import Pass, Side, remote
from flows.settings import Settings
from flows.wiring import Wiring
from schemas.events import Message

WARM_UP = 2  # slices that nobody counts


@dataclass(frozen=True, slots=True)
class Rounds:
    """What each side needed for each slice, warm-up left out."""

    passes: Mapping[str, Sequence[Pass]]

    def ratio(self, quick: str, slow: str) -> float:
        """How much of one side's speed the other has: the median over the slices."""
        both = zip(self.passes[quick], self.passes[slow], strict=True)
        return middle([_each(one) / _each(other) for one, other in both])

    def per_second(self, side: str) -> float:
        """Messages a second."""
        return middle([1 / _each(one) for one in self.passes[side]])

    def microseconds(self, side: str, detail: str) -> float:
        """A measured time of each message."""
        return middle([one.details.get(detail, 0.0) / one.messages * 1e6 for one in self.passes[side]])

    def cpu_us(self, side: str) -> float:
        """Processor time of the side's own process for each message."""
        return middle([one.cpu_s / one.messages * 1e6 for one in self.passes[side]])


def _each(one: Pass) -> float:
    return one.seconds / one.messages


Sides = Mapping[str, tuple[Side, Settings]]
Slice = Sequence[Message]


def in_turns(sides: Sides, traffic: Iterable[Slice]) -> Rounds:
    """Every side passes over every slice; who begins changes from slice to slice."""
    namespaces = {settings.namespace for _, settings in sides.values()}
    return _in_turns(sides, (dict.fromkeys(namespaces, one) for one in traffic))


def apart(sides: Sides, traffic: Mapping[str, Iterable[Slice]]) -> Rounds:
    """The same where each namespace has traffic of its own, of as many slices."""
    names = tuple(traffic)
    return _in_turns(
        sides, (dict(zip(names, ones, strict=True)) for ones in zip(*traffic.values(), strict=True))
    )


def _in_turns(sides: Sides, traffic: Iterable[Mapping[str, Slice]]) -> Rounds:
    passes: dict[str, list[Pass]] = {name: [] for name in sides}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(remote(*side)) for name, side in sides.items()}
        inputs = {settings.namespace: settings for _, settings in sides.values()}
        parts = {name: stack.enter_context(Wiring(settings)) for name, settings in inputs.items()}
        for number, slices in enumerate(traffic):
            for namespace, messages in slices.items():
                append(parts[namespace], messages)
            for name in list(running)[:: -1 if number % 2 else 1]:
                one = running[name]()
                asked = len(slices[sides[name][1].namespace])
                assert one.messages == asked, f"{name} saw {one.messages} of {asked} messages"
                if number >= WARM_UP:
                    passes[name].append(one)
    return Rounds(passes)
