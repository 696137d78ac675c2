"""The sides of a comparison: each a flow in a process of its own, which passes over what is new in its input.

A side keeps its process from pass to pass, so that it has the caches, the connections and the garbage that a
running stream has; and nothing of one side warms anything of the other.
"""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from flows import resolve
from flows.bench.lanes import LANE, Lane, lanes
from flows.bench.naive import NaiveResolver
from flows.reader import Intake
from flows.resolve import Counts, Nowhere, Read, Work
from flows.running import Flow, Run, publish_flow, run_flows
from flows.settings import Settings
from flows.stopping import Crash, Steps, Stop
from flows.wiring import Wiring
from resolver.links import Linker

_CONTEXT = multiprocessing.get_context("spawn")  # a fork would copy the parent's caches

OnePass = Callable[[], Mapping[str, float]]
Side = Callable[[Wiring], OnePass]
"""Makes a function that makes one pass: it says how many `messages` it saw, and whatever else it measured."""


class Pass(NamedTuple):
    """What one pass cost: wall time, and this process's own processor time."""

    messages: int
    seconds: float
    cpu_s: float
    details: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Remote:
    """A side in its process."""

    connection: Connection

    def __call__(self) -> Pass:
        """One pass."""
        self.connection.send("pass")
        answer = self.connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Pass)
        return answer


@contextlib.contextmanager
def remote(side: Side, settings: Settings) -> Iterator[Remote]:
    """Start the process of a side; it ends with the block."""
    here, there = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(there, side, settings), daemon=True)
    process.start()
    there.close()
    try:
        yield Remote(here)
    finally:
        here.close()
        process.join(30)


def _serve(connection: Connection, side: Side, settings: Settings) -> None:
    with Wiring(settings) as parts:
        one_pass = side(parts)
        while True:
            try:
                connection.recv()
            except EOFError:
                return
            try:
                connection.send(_timed(one_pass))
            except Exception as error:  # noqa: BLE001 -- raised again where the pass was asked for
                connection.send(error)


def _timed(one_pass: OnePass) -> Pass:
    started, cpu = time.perf_counter(), time.process_time()
    details = dict(one_pass())
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return Pass(int(details.pop("messages")), seconds, cpu_s, details)


# the sides


def stream(parts: Wiring) -> OnePass:
    """The resolve flow, as `nexus run resolve` runs it."""

    def one_pass() -> Mapping[str, float]:
        stop, counts = Stop(), Counts()
        run_flows([_resolve(parts, stop, counts, Steps(stop), [])], stop)
        return {"messages": counts.messages, "transitions": counts.transitions}

    return one_pass


def published(parts: Wiring) -> OnePass:
    """The resolve flow and the publish flow in one process, as `nexus run` runs them, until all is out.

    A pass ends up to a tenth of a second after its last transition: so long the publisher waits for another.
    """

    def one_pass() -> Mapping[str, float]:
        stop, counts = Stop(), Counts()
        flow = _resolve(parts, stop, counts, Steps(stop), [])
        run_flows([flow, publish_flow(parts, Run(stop, counts), Crash(), flow.ended.is_set)], stop)
        return {"messages": counts.messages}

    return one_pass


def profiled(parts: Wiring) -> OnePass:
    """The same with a stopwatch at each step, and Redis' own account of the time in its scripts."""

    def one_pass() -> Mapping[str, float]:
        stop, counts, made, spent = Stop(), Counts(), list[Lane](), dict[str, float]()
        before = _script_s(parts)
        run_flows([_resolve(parts, stop, counts, Stopwatch(stop, spent=spent), made)], stop)
        spent["take"] = sum(lane.spent_s for lane in made)
        return {"messages": counts.messages, **spent, "redis": _script_s(parts) - before}

    return one_pass


def _resolve(parts: Wiring, stop: Stop, counts: Counts, steps: Steps, made: list[Lane]) -> Flow:
    work = Work(parts.store, parts.linker, parts.dead_letters(), parts.formats(), stop, counts)
    intake = Intake(lanes(parts, "stream", lambda: parts.store.offsets(LANE), made), stop, lambda: True)
    return Flow("resolve", resolve.build(intake, work, steps), parts.settings.workers)


def _script_s(parts: Wiring) -> float:
    stats: Any = parts.client.info("commandstats")
    return float(sum(stats.get(f"cmdstat_{name}", {"usec": 0})["usec"] for name in ("eval", "evalsha"))) / 1e6


def validate(parts: Wiring) -> OnePass:
    """The same source and the same decode step, and then nothing."""
    return _beginning(parts, "validate", lambda _: None)


def naive(parts: Wiring) -> OnePass:
    """The same source and decode step, then one Redis call for each identifier, and one for each event."""
    return _naive(parts, "naive", each_event=True)


def naive_by_batch(parts: Wiring) -> OnePass:
    """The same, with one call for the offset of each batch."""
    return _naive(parts, "naive-by-batch", each_event=False)


def _naive(parts: Wiring, name: str, *, each_event: bool) -> OnePass:
    prefix = f"nexus-bench:{{{parts.settings.namespace}}}:{name}"
    resolver = NaiveResolver(parts.client, Linker(parts.keyring), prefix, each_event=each_event)
    return _beginning(parts, name, lambda read: resolver.resolve(read.events))


def _beginning(parts: Wiring, name: str, finish: Callable[[Read], None]) -> OnePass:
    """A flow that begins as the resolve flow does and ends in `finish`; it remembers its offsets itself."""
    at: dict[int, int] = {}

    def done(read: Read) -> Read:
        at.update({move.partition: move.next for move in read.taken.moves})
        finish(read)
        return read

    def one_pass() -> Mapping[str, float]:
        stop, counts = Stop(), Counts()
        flow = _two_steps(parts, stop, counts, lanes(parts, name, lambda: at), done)
        run_flows([Flow(name, flow, parts.settings.workers)], stop)
        return {"messages": counts.messages}

    return one_pass


def _two_steps(
    parts: Wiring, stop: Stop, counts: Counts, readers: Any, done: Callable[[Read], Read]
) -> Dataflow:
    work = Work(parts.store, parts.linker, parts.dead_letters(), parts.formats(), stop, counts)
    steps = Steps(stop)
    flow = Dataflow("nexus_bench")
    taken = op.input("take", flow, Intake(readers, stop, lambda: True))
    read = op.filter_map("decode", taken, steps("decode", work.decode))
    op.output("done", op.filter_map("finish", read, steps("finish", done)), Nowhere())
    return flow


@dataclass(frozen=True, slots=True)
class Stopwatch(Steps):
    """The steps of a flow, timed. `spent` is seconds by step."""

    spent: dict[str, float] = None  # type: ignore[assignment]  # always given

    def __call__(self, name: str, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The step under its name, with a stopwatch around it."""
        guarded = Steps.__call__(self, name, step)

        def timed(item: Any) -> Any:
            started = time.perf_counter()
            result = guarded(item)
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started
            return result

        return timed
