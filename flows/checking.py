"""`nexus check`: settings, connections, invariants, each with a verdict."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Literal, NamedTuple

from flows.progress import progress
from flows.sending import fingerprint
from flows.settings import Settings
from flows.wiring import Wiring
from schemas.errors import NexusError, StoreCorrupt

Verdict = Literal["ok", "warning", "wrong"]

_LONG_S = 3600  # that a notice waits: by then it was tried four times
_ORDINARY_BYTES = 1024  # a message in the input log


class Check(NamedTuple):
    """What was looked at, and what was found."""

    name: str
    verdict: Verdict
    detail: str


def checks(settings: Settings) -> Iterator[Check]:
    """Everything that can be checked from here, in the order in which one thing needs another."""
    yield Check("settings", "ok", f"namespace {settings.namespace}, input from {settings.source}")
    if settings.keyring().derived:
        yield Check(
            "secret", "warning", "none is set: keys derive from the namespace's name, and can be guessed"
        )
    with Wiring(settings) as parts:
        for name, look in (
            ("input", _input),
            ("store", _store),
            ("operations", _operations),
            ("outbox", _outbox),
            ("event log", _event_log),
            ("pending", _pending),
            ("notifications", _notifications),
            ("invariants", _invariants),
        ):
            try:
                yield look(parts)
            except NexusError as error:
                yield Check(name, "wrong", str(error))
                return


def _input(parts: Wiring) -> Check:
    parts.prepare_topics()
    return Check("input", "ok", dict(parts.places)["input"])


def _store(parts: Wiring) -> Check:
    generation, number = parts.store.sequence()
    return Check("store", "ok", f"{dict(parts.places)['identity store']}, sequence ({generation}, {number})")


def _operations(parts: Wiring) -> Check:
    where = dict(parts.places)["operator events"]
    if parts.operations_at_end()():
        return Check("operations", "ok", f"{where}: all are carried out")
    return Check("operations", "warning", f"{where}: some are not carried out yet; `nexus run` does it")


def _outbox(parts: Wiring) -> Check:
    waiting, limit = parts.store.waiting(), parts.settings.outbox_limit
    verdict: Verdict = "warning" if waiting > limit // 2 else "ok"
    return Check("outbox", verdict, f"{waiting} transitions wait to be published, of {limit} that may")


def _event_log(parts: Wiring) -> Check:
    """How far what is archived lies behind what is resolved."""
    if parts.settings.warehouse_engine == "none":
        return Check("event log", "ok", "none is set")
    with closing(parts.event_log()) as event_log:
        at = event_log.offsets()
    is_log = parts.settings.source == "log"
    behind = sum(
        max(0, offset - at.get((topic, partition), 0))
        for topic in (*parts.inputs, parts.control)
        for partition, offset in parts.store.offsets(topic).items()
    )
    many = parts.settings.warehouse.batch * (_ORDINARY_BYTES if is_log else 1)
    told = f"{behind:,} {'bytes' if is_log else 'messages'} behind the stream"
    return Check(
        "event log", "warning" if behind > many else "ok", f"{dict(parts.places)['event log']}: {told}"
    )


def _pending(parts: Wiring) -> Check:
    count = parts.store.pending()
    if count == 0:
        return Check("pending", "ok", "nothing waits for what only the log can tell")
    told = f"{count} identifiers or rules: only the log can tell what is right for them (`nexus reconcile`)"
    return Check("pending", "warning", told)


def _notifications(parts: Wiring) -> Check:
    """What waits for somebody to be told, and what will never be told."""
    deliveries, endpoints = parts.deliveries, parts.settings.notifications.endpoints
    deliveries.check()
    standings = {name: deliveries.standing(name) for name in sorted({*endpoints, *deliveries.endpoints()})}
    if not standings:
        return Check("notifications", "ok", "none are set")
    waiting = sum(one.waiting for one in standings.values())
    given_up = sum(one.failed + one.dropped for one in standings.values())
    since_ms = min((one.since_ms for one in standings.values() if one.since_ms), default=None)
    age_s = 0 if since_ms is None else max(0, int(time.time() - since_ms / 1000))
    told = f"{waiting:,} wait{f', the oldest for {age_s:,} s' if waiting else ''}; {given_up:,} given up"
    gone = [name for name, one in endpoints.items() if standings[name].disabled == fingerprint(one)]
    if gone:
        told += f"; disabled: {', '.join(gone)} (`nexus notifications`)"
    return Check("notifications", "warning" if gone or age_s > _LONG_S else "ok", told)


def _invariants(parts: Wiring) -> Check:
    """A store that moves while it is read looks broken without being so: look again, a few times."""
    for _ in range(3):
        before = parts.store.sequence(), parts.store.progress()
        try:
            with progress("reading it all"):
                unsettled = parts.store.unsettled()
                parts.store.check()
            if unsettled:
                told = f"{unsettled} identifiers wait for a restructuring; what does not rest on it holds"
                return Check("invariants", "warning", told)
            return Check("invariants", "ok", "all hold")
        except StoreCorrupt as error:
            if before == (parts.store.sequence(), parts.store.progress()):
                return Check("invariants", "wrong", str(error))
    return Check("invariants", "warning", "the stream is too busy to tell: check again when it is quiet")
