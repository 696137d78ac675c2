"""Runs the scenarios that are asked for and writes what they report."""

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

from flows.bench import archived, broker, hubs, pipeline, scenarios, splits, states, warehouse
from flows.bench.figures import Figure
from flows.bench.place import Place, place
from flows.settings import Settings
from schemas.errors import SettingsError

Embedded = Callable[[Place, float], Iterator[Figure]]
OnBroker = Callable[[Place, float, Settings], Iterator[Figure]]

EMBEDDED: Mapping[str, Embedded] = {
    "profile": scenarios.profile,
    "steady": scenarios.steady,
    "growth": scenarios.growth,
    "naive": scenarios.against_naive,
    "size": scenarios.size,
    "memory": scenarios.memory,
    "hub": hubs.hub,
    "split": splits.split,
    "states": states.states,
    "archive": archived.archived,
    "warehouse": warehouse.warehouse,
    "pipeline": pipeline.pipeline,
}
ON_BROKER: Mapping[str, OnBroker] = {"latency": broker.latency, "webhook": broker.webhook}


def run_scenarios(
    settings: Settings, names: Sequence[str], scale: float, is_json: bool, say: Callable[[str], None]
) -> int:
    """0 when every budget that was measured is kept, 1 when one is missed.

    At a scale below 1 nothing is judged: a run that is too short measures the caches filling up.
    Raises SettingsError for a name that is none, and for a scenario that needs a broker when none is set.
    """
    missed = 0
    for name in _chosen(settings, names, say):
        say(f"{name} ...")
        with _ended_by_sigterm(), place(settings) as where:
            figures = (
                EMBEDDED[name](where, scale) if name in EMBEDDED else ON_BROKER[name](where, scale, settings)
            )
            for figure in figures:
                _write(figure, is_json)
                missed += figure.is_met is False
    if missed and scale >= 1:
        say(f"{missed} of the budgets missed")
        return 1
    return 0


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the run as SIGINT does, by an exception: the private Redis and its folder go with it."""

    def end(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _chosen(settings: Settings, names: Sequence[str], say: Callable[[str], None]) -> list[str]:
    known = (*EMBEDDED, *ON_BROKER)
    for name in names:
        if name not in known:
            raise SettingsError(f"there is no benchmark {name}: choose from {', '.join(known)}")
        if name in ON_BROKER and settings.source != "kafka":
            raise SettingsError(f"the benchmark {name} needs a broker: set kafka.bootstrap.servers")
    if names:
        return list(names)
    if settings.source != "kafka":
        say(f"left out without kafka.bootstrap.servers: {', '.join(ON_BROKER)}")
        return list(EMBEDDED)
    return list(known)


def _write(figure: Figure, is_json: bool) -> None:
    print(json.dumps(figure.as_json()) if is_json else figure.for_people(), file=sys.stdout, flush=True)
