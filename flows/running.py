"""Runs flows in one process: a thread for each, until they end, and says how they ended."""

import atexit
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from flows import archive, notify, publish, resolve
from flows.alive import SignOfLife
from flows.one_worker import OneWorker
from flows.reader import AtEnd, Intake
from flows.sending import Sender
from flows.stopping import Crash, InHalves, Steps, Stop
from flows.wiring import Wiring

log = logging.getLogger("nexus")

_DRAIN_S = 7.0  # with what comes before and after, a process ends within the ten seconds that it is given


@dataclass(slots=True)
class Flow:
    """A dataflow with its worker threads, and whether it has ended."""

    name: str
    dataflow: Dataflow
    workers: int = 1
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Run:
    """The flows of one process and what they did."""

    stop: Stop
    counts: resolve.Counts
    publisher: "publish.Work | None" = None
    notifier: "notify.Work | None" = None
    archiver: "archive.Work | None" = None
    senders: "dict[str, Sender]" = field(default_factory=dict)
    life: SignOfLife = field(default_factory=SignOfLife)

    def finish(self, seconds: float) -> None:
        """Let the attempts in hand end, if they do so in that time."""
        deadline = time.monotonic() + seconds
        for sender in self.senders.values():
            sender.finish(deadline)


def run_flows(flows: Sequence[Flow], stop: Stop, meanwhile: Callable[[], None] | None = None) -> None:
    """Run them until all have ended. `meanwhile` is called some times a second, for a progress bar.

    The caller's thread only waits, so that signals reach Python. Raises the failure that ended the run, if
    one did. Once the end is asked for, who has not ended in time is left behind: a call to a server that does
    not answer can take longer than anybody waits for a process to end.
    """
    _relax_collector()
    threads = [
        threading.Thread(target=_run, args=(flow, stop), name=flow.name, daemon=True) for flow in flows
    ]
    for thread in threads:
        thread.start()
    asked: float | None = None
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.1 / len(threads))
        if meanwhile is not None:
            meanwhile()
        asked = asked or (time.monotonic() if stop.requested else None)
        if asked is not None and time.monotonic() - asked > _DRAIN_S:
            _leave_behind(stop)
            break
    if stop.failure is not None:
        raise stop.failure


def _leave_behind(stop: Stop) -> None:
    """Let the process end without its threads. What they hold moved no offset and no cursor, so the next run
    does it again. The interpreter must not be taken down under them: the process ends as soon as everything
    else is closed.
    """
    log.warning("a server does not answer: what is in hand is left to the next run")
    code = 0 if stop.failure is None else 1

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(end)


def _relax_collector() -> None:
    """Collect garbage rarely: the caches hold hundreds of thousands of objects that each collection would
    walk, and nothing on the way of an event makes a cycle. Measured: a third of the time where most
    links are new.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 50)


def _run(flow: Flow, stop: Stop) -> None:
    try:
        bytewax_main: Any = cli_main  # has no annotations
        bytewax_main(flow.dataflow, workers_per_process=flow.workers)
    except BaseException as error:
        log.exception("flow %s ended", flow.name)
        stop.fail(error)
    finally:
        flow.ended.set()


def resolve_flow(
    parts: Wiring, run: Run, crash: Crash, at_end: AtEnd | None = None, *, from_beginning: bool = False
) -> Flow:
    """flows.resolve with its parts."""
    readers = parts.readers(from_beginning=from_beginning, until_end=at_end is not None)
    dead_letters = parts.dead_letters()
    if crash.aims_at("within-bury"):
        dead_letters = InHalves(dead_letters, crash, "within-bury")
    work = resolve.Work(
        parts.store,
        parts.linker,
        dead_letters,
        parts.formats(),
        run.stop,
        run.counts,
        parts.operations,
        parts.settings.rules.identifier,
    )
    workers = parts.settings.workers
    source = run.life.of("resolve", Intake(readers, run.stop, at_end), workers)
    return Flow("resolve", resolve.build(source, work, Steps(run.stop, crash)), workers)


def publish_flow(parts: Wiring, run: Run, crash: Crash, ends_with: Callable[[], bool] | None = None) -> Flow:
    """flows.publish with its parts. Ends when `ends_with` says that no more comes and the outbox is empty."""
    reader = publish.OutboxReader(parts.store, ends_with)
    sink = parts.transitions()
    if crash.aims_at("within-send"):
        sink = InHalves(sink, crash, "within-send")
    run.publisher = publish.Work(parts.store, sink, reader, run.stop)
    source = run.life.of("publish", OneWorker(reader, "the store", run.stop))
    return Flow("publish", publish.build(source, run.publisher, Steps(run.stop, crash)))


def notify_flow(parts: Wiring, run: Run, crash: Crash, no_more: Callable[[], bool] | None = None) -> Flow:
    """flows.notify with its parts, and what sends beside it. Ends when `no_more` says that no more
    transitions come, all were read, and what could be sent was.
    """
    notifications, namespace, stop = parts.settings.notifications, parts.settings.namespace, run.stop
    deliveries, senders = parts.deliveries, run.senders
    clock = None
    if notifications.digest is not None:
        clock = notify.DigestClock(
            deliveries, notifications, notifications.digest, namespace, lambda name: senders[name].wake()
        )
    oldest_ms = max(map(notifications.max_age_ms, notifications.rules.values()), default=0)
    reader = notify.Reader(
        deliveries,
        parts.published(),
        namespace,
        notifications.endpoints,
        clock,
        int(time.time() * 1000) - oldest_ms,
        no_more,
        lambda: all(sender.is_quiet() for sender in senders.values()),
    )
    for name, endpoint in notifications.endpoints.items():
        senders[name] = Sender(name, endpoint, deliveries, stop, reader.is_ours)
        senders[name].start()
    run.notifier = notify.Work(deliveries, notifications, namespace, senders, reader, stop)
    source = run.life.of("notify", OneWorker(reader, "the transitions", stop))
    return Flow("notify", notify.build(source, run.notifier, Steps(stop, crash)))


def archive_flow(parts: Wiring, run: Run, crash: Crash, no_more: Callable[[], bool] | None = None) -> Flow:
    """flows.archive with its parts. Ends when `no_more` says that no more transitions come, and all that is
    there is in the event log.
    """
    settings, stop = parts.settings, run.stop
    event_log = parts.event_log(lambda point: crash(f"within-load-{point}"))
    gatherer = archive.Gatherer(
        event_log,
        parts.keyring,
        parts.archive_reader,
        parts.published("archive"),
        settings.warehouse.batch,
        settings.warehouse.waits_s,
        parts.at_end,
        no_more,
    )
    run.archiver = archive.Work(
        event_log,
        gatherer,
        parts.operations,
        parts.formats(),
        settings.rules.identifier,
        settings.namespace,
        stop,
    )
    source = run.life.of("archive", archive.Source(gatherer, stop))
    return Flow("archive", archive.build(source, run.archiver, Steps(stop, crash)))
