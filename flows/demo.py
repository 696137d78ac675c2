"""`nexus demo`: made-up customers through the whole system, embedded, and then their story.

The events are made in this process and appended to the input log of a namespace of its own. From there on
everything is what `nexus run` does.
"""

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo_producer import Faults, Record, Truth, records
from flows.production import Say
from flows.progress import progress
from flows.resolve import Counts
from flows.running import Run, publish_flow, resolve_flow, run_flows
from flows.settings import Settings
from flows.stopping import Crash, Stop
from flows.story import tell
from flows.wiring import Wiring
from schemas.decode import decode
from schemas.errors import SettingsError
from schemas.events import Message
from schemas.identifiers import Identifier
from schemas.records import encode_record
from sinks.segments import SegmentedLog, make_folder

_PIECE = 1_000  # records appended at once: one sync of the disk for each piece
_BATCH, _CALLS = (
    500,
    20,
)  # so many batches at least: what comes apart was one for a while, in a short demo, too


def run(data: Path, count: int, seed: int, say: Say) -> None:
    """The whole demo. What it makes stays in the data folder."""
    batch = min(_BATCH, max(1, count // _CALLS))
    settings, is_first = fresh_namespace(data, "demo", {"batch": batch})
    stop = Stop()
    stop.on_signals()
    say(f"Everything is kept in {data.resolve()}, under the namespace {settings.namespace}.")
    if not is_first:
        say("(The namespaces before it are of earlier runs; nothing of them is touched.)")
    began = time.monotonic()
    with Wiring(settings) as parts:
        truth = Truth()
        stream = records(seed=seed, count=count, faults=Faults.parse("all"), timestamps=True, shared=True)
        _append(stream, count, parts.log("input"), truth, stop)
        counts = _resolve(parts, count, stop)
        if stop.requested:
            say(f"Stopped after {counts.messages:,} of {count:,} events; what was resolved is kept.")
            return
        say(f"{count:,} events went through in {time.monotonic() - began:.1f} seconds.")
        for line in tell(parts, _verdict(truth, parts)):
            say(line)


def fresh_namespace(data: Path, name: str, settings: Mapping[str, Any]) -> tuple[Settings, bool]:
    """The settings of a namespace that nobody used in this folder, called so or nearly so, and whether it is
    the first of its name.
    """
    make_folder(data)
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    for each in names:
        try:
            (data / each).mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise SettingsError(
                f"cannot keep data in {data}: {error.strerror}; choose another --data"
            ) from error
        return Settings.model_validate({"namespace": each, "data": data, **settings}), each == name
    raise AssertionError("the numbers do not end")


def _append(stream: Iterable[Record], count: int, log: SegmentedLog, truth: Truth, stop: Stop) -> None:
    with progress("making events", count) as show:
        for done, piece in _pieces(stream):
            if stop.requested:
                return
            for record in piece:
                truth.note(record, decode(_message(record), None).events)
            log.append([encoded(record) for record in piece])
            show(done)


def _pieces(stream: Iterable[Record]) -> Iterator[tuple[int, Sequence[Record]]]:
    rest, done = iter(stream), 0
    while piece := list(itertools.islice(rest, _PIECE)):
        done += len(piece)
        yield done, piece


def encoded(record: Record) -> bytes:
    """A record as a line of the input log."""
    return encode_record(
        record.value, ingested_at_ms=record.ingested_at_ms, key=record.key, headers=record.headers
    )


def _message(record: Record) -> Message:
    return Message("input", 0, 0, 0, record.ingested_at_ms or 0, record.value, record.key, record.headers)


def _resolve(parts: Wiring, count: int, stop: Stop) -> Counts:
    """Run both flows until the log is worked off and published."""
    run, crash = Run(stop, Counts()), Crash()
    resolve = resolve_flow(parts, run, crash, parts.at_end())
    publish = publish_flow(parts, run, crash, resolve.ended.is_set)
    with progress("resolving", count) as show:
        run_flows((resolve, publish), stop, lambda: show(run.counts.messages))
    return run.counts


def _verdict(truth: Truth, parts: Wiring) -> Iterator[str]:
    """The answer, held against what only the producer knew."""
    answer: dict[Identifier, str] = {}
    for entity_type in ("person", "group"):
        answer.update(parts.store.mapping(entity_type))
    faults = truth.faults(answer.get)
    owners = len({(one.entity_type, number) for one, number in truth.owners.items()})
    if faults:
        yield f"The producer knows who is who, and {len(faults)} things are wrong; the first: {faults[0]}"
        return
    yield (
        f"The producer knows who is who. Held against that, of {owners:,} customers and companies no two "
        f"were mixed up, and each of the {len(truth.completed):,} whose events are all in is one person."
    )
