"""`nexus demo --journey`: fifty customers, five sources, and one setup that is abandoned while you watch.

The journey begins ninety days ago, less a few seconds. So what happened is read at once, and the last thing
that happens is that nothing does: a customer who installed the app yesterday makes no report. The clock says
so, the state is entered, and a rule of the notifications tells a webhook that listens in this process.
"""

import json
import secrets
import shlex
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from demo_producer import PARTS, SPAN_MS, Part, Record, journey
from flows.client import Nexus
from flows.demo import encoded, fresh_namespace
from flows.production import Say
from flows.resolve import Counts
from flows.running import Run, notify_flow, publish_flow, resolve_flow, run_flows
from flows.stopping import Crash, Stop
from flows.ticking import Ticking
from flows.timelines import timeline_for_people
from flows.wiring import Wiring
from flows.words import heading, program

_AHEAD_S = 8.0  # the setup is abandoned so long after the beginning: by then all else was read
_PATIENCE_S = 60.0
_TWO_HALVES, _ABANDONED = "joined", "abandoned"
_PIECE = 200


def run(data: Path, seed: int, say: Say) -> None:
    """The whole journey. What it makes stays in the data folder."""
    stop = Stop()
    stop.on_signals()
    start = datetime.now(UTC) - timedelta(milliseconds=SPAN_MS) + timedelta(seconds=_AHEAD_S)
    records = journey(seed, start)
    with _receiver() as receiver:
        given = _settings(receiver)
        settings, _ = fresh_namespace(data, "journey", given)
        config = data / f"{settings.namespace}.yaml"
        _write(config, {"namespace": settings.namespace, "data": str(data), **given})
        say(f"Everything is kept in {data.resolve()}, under the namespace {settings.namespace}.")
        say(f"{len(records):,} messages of ninety days, from Shopify, Segment, Stripe, Gmail and Calendar.")
        with Wiring(settings) as parts:
            _append(records, parts)
            counts, is_over = _watch(parts, receiver, stop, say)
            if not is_over:
                done = f"{counts.messages:,} of {len(records):,}"
                say(f"Stopped after {done} messages; what was resolved is kept.")
                return
            say(_told(receiver))
            for line in _story(parts, seed, config):
                say(line)


class Receiver(ThreadingHTTPServer):
    """Somebody who wants to be told: a webhook on loopback that keeps what it gets."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Keep what came, and say so."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.told.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 -- as http.server has it
        """Nobody reads it."""


@contextmanager
def _receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, name="receiver", daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def _settings(receiver: Receiver) -> dict[str, Any]:
    """The rules of the journey, and one rule of what to tell."""
    text = (resources.files("demo_producer") / "journey.yaml").read_text(encoding="utf-8")
    secret = f"whsec_{b64encode(secrets.token_bytes(24)).decode()}"
    abandoned = (
        'transition.transition == "state_entered" && transition.state_name == "setup" '
        '&& transition.state_value == "abandoned"'
    )
    return {
        "rules": yaml.safe_load(text)["rules"],
        "notifications": {
            "endpoints": {"you": {"webhook": receiver.url, "secrets": [secret], "allow_private": True}},
            "rules": {"setup_abandoned": {"when": abandoned, "to": ["you"]}},
        },
    }


def _write(config: Path, settings: dict[str, Any]) -> None:
    """Settings that hold a secret, for their owner alone."""
    config.touch(mode=0o600)
    config.chmod(0o600)  # one of an earlier run, too
    config.write_text(yaml.safe_dump(settings, sort_keys=False))


def _append(records: tuple[Record, ...], parts: Wiring) -> None:
    rest, log = iter(records), parts.log("input")
    while piece := [encoded(one) for one in islice(rest, _PIECE)]:
        log.append(piece)


def _watch(parts: Wiring, receiver: Receiver, stop: Stop, say: Say) -> tuple[Counts, bool]:
    """Run everything until the webhook was told, or it has taken too long. Says what was done, and whether
    there is a story to tell: everything was read, and nobody has stopped it before.
    """
    flow, crash = Run(stop, Counts()), Crash()
    flows = [resolve_flow(parts, flow, crash), publish_flow(parts, flow, crash)]
    flows.append(notify_flow(parts, flow, crash))
    Ticking(parts.store, parts.at_end, stop).start()
    deadline, is_read, is_over = time.monotonic() + _PATIENCE_S, False, False

    def look() -> None:
        nonlocal is_read, is_over
        if not is_read and flow.counts.messages and parts.at_end()():
            is_read = True
            say("All of it is read. One setup was begun a day ago, and is about to be abandoned ...")
        is_late = time.monotonic() > deadline
        is_over = is_read and (bool(receiver.told) or is_late)
        if is_over or is_late:
            stop.request()

    run_flows(flows, stop, look)
    flow.finish(1)
    return flow.counts, is_over


def _told(receiver: Receiver) -> str:
    if not receiver.told:
        return "Nobody was told of it in a minute: see `nexus notifications`."
    change = receiver.told[0]["data"]
    return (
        f"POST {receiver.url} 204: {change['entity_id']} entered {change['state_name']} = "
        f"{change['state_value']} at {change['state_entered_at']}"
    )


def _story(parts: Wiring, seed: int, config: Path) -> Iterator[str]:
    """Who was told of, and somebody who was two, as `nexus timeline` shows them; and what to ask next."""
    with Nexus(parts.settings) as client:
        for name in (_ABANDONED, _TWO_HALVES):
            part = next(one for one in PARTS if one.name == name)
            yield from heading(f"{part.played_by(seed).name}: {part.told}")
            yield from timeline_for_people(client.timeline("person", _address(client, part, seed)))
        given = ("--config", str(config))
        yield from heading("Now you")
        for part in PARTS:
            asked = ("timeline", "person", _address(client, part, seed), *given)
            yield f"{program()} {shlex.join(asked)}"
            yield f"    {part.told}"
    listed = ("export", "person", "--traits", "--state", "customer_health=at_risk", "--csv", *given)
    yield f"{program()} {shlex.join(listed)}"


def _address(client: Nexus, part: Part, seed: int) -> str:
    """Something that the customer is known by here, an address if possible."""
    known = [
        f"{kind}={value}"
        for kind, value in sorted(part.played_by(seed).identifiers(), key=lambda one: one[0] != "email")
        if client.lookup("person", kind, value) is not None
    ]
    return known[0]
