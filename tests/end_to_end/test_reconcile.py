"""`nexus reconcile` as cron runs it: embedded, after a run and beside one."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from demo_producer.cli import main
from flows.embedded import PrivateRedis
from flows.settings import load
from resolver.keys import Keys
from resolver.links import Linker
from resolver.redis_store import Durability, RedisStore
from resolver.store import Batch
from schemas.identifiers import Keyring
from tests.end_to_end.programs import Nexus
from tests.end_to_end.test_embedded import call
from tests.resolver.histories import event

SEED = 3
pytestmark = pytest.mark.timeout(400)  # a dozen commands each


def journey(nexus: Nexus) -> None:
    """Work off the journey: five sources, traits, memberships, all states."""
    file, settings = nexus.folder / "journey.jsonl", nexus.folder / "nexus.yaml"
    arguments = ["--journey", "--seed", str(SEED), "--timestamps", "--to", str(file), "--quiet"]
    assert main([*arguments, "--settings", str(settings)]) == 0
    nexus.ok("run", "--until-end", "--source", file, "--as", "record")


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give a folder in which the journey is worked off."""
    nexus = Nexus(tmp_path, {"NEXUS_WAREHOUSE__EVERY_S": 0.2})
    journey(nexus)
    return nexus


@contextmanager
def store(nexus: Nexus) -> Iterator[tuple[redis.Redis, RedisStore]]:
    """The store in the data folder, to do harm to."""
    rules = load({}, nexus.folder / "nexus.yaml").rules
    with PrivateRedis(nexus.folder / "nexus-data" / "redis") as server:
        client = redis.Redis.from_url(server.url)
        yield client, RedisStore(client, "default", Keyring("default"), Durability(), rules=rules)
        client.close()


def harm(nexus: Nexus) -> None:
    """Unite strangers as no event did, and lose what was said of some."""
    with store(nexus) as (client, one):
        names: Any = [
            f"{identifier.identifier_type}={identifier.identifier_value}"
            for identifier, _ in sorted(one.mapping("person"), key=str)
            if identifier.identifier_type == "email"
        ]
        linker = Linker(Keyring("default"), one.rules)
        one.apply(Batch((), linker.evidence([event(1, (names[0], names[-1]), ms=1)])))
        keys = Keys("default")
        fields: Any = client.hkeys(keys.profiles)
        client.hdel(keys.profiles, *sorted(fields)[:3])


def answer(nexus: Nexus) -> tuple[str, ...]:
    """All that `export` says."""
    parts = ("person", "group", "traits", "memberships", "states")
    return tuple(nexus.ok("export", part).out for part in parts)


def reports(done_out: str) -> list[dict[str, Any]]:
    """What a program reads."""
    return [json.loads(line) for line in done_out.splitlines()]


def test_drift_is_found_repaired_and_gone(nexus: Nexus) -> None:
    """A healthy run has none; what was harmed is found, set right as it was, and then there is none again."""
    healthy = nexus.ok("reconcile", "--fail-on-drift")
    assert "no drift" in healthy.out
    before = answer(nexus)
    harm(nexus)
    looked = nexus.run("reconcile", "--dry-run", "--fail-on-drift", "--json")
    assert looked.code == 1, looked.err
    done = nexus.run("reconcile", "--fail-on-drift", "--json")
    assert done.code == 1, done.err
    (dry,), (report,) = reports(looked.out), reports(done.out)
    assert report["drift"] == dry["drift"]
    assert {"identifier_elsewhere", "state"} <= report["drift"].keys()
    assert (dry["repaired"], report["repaired"] > 0) == (0, True)
    assert answer(nexus) == before
    nexus.ok("check")
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out


def test_beside_a_stream_under_load(nexus: Nexus) -> None:
    """While the stream runs and publishes, drift is repaired, and nothing that came meanwhile is undone."""
    harm(nexus)
    with nexus.running("run", "--source", "-", "--as", "segment", pipe=True) as run:
        is_over = threading.Event()
        sent = 0

        def send() -> None:
            nonlocal sent
            while not is_over.wait(0.01):
                run.stdin.write(call(sent) + b"\n")
                run.stdin.flush()
                sent += 1

        sender = threading.Thread(target=send)
        sender.start()
        try:
            (report,) = reports(nexus.ok("reconcile", "--json").out)
            (again,) = reports(nexus.ok("reconcile", "--incremental", "--json").out)
        finally:
            is_over.set()
            sender.join()
        assert report["drift"]
        assert (again["drift"], again["is_incremental"]) == ({}, True)
        assert run.terminate().code == 0
    nexus.ok("run", "--until-end")
    assert sent > 0
    nexus.ok("lookup", "person", f"email=ada-{sent - 1}@acme.example")
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
    nexus.ok("check")


def test_without_a_warehouse_it_says_what_to_set(nexus: Nexus) -> None:
    """A wrong setting ends with code 2 and one line."""
    done = nexus.run("reconcile", NEXUS_WAREHOUSE__ENGINE="none")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "warehouse.engine" in done.err


def test_before_anything_came_in_it_says_so(tmp_path: Path) -> None:
    """It does not wait for an event log that nobody has reason to write."""
    nexus = Nexus(tmp_path)
    nexus.ok("run", "--until-end")
    done = nexus.run("reconcile")
    assert (done.code, "nothing has come in yet" in done.err) == (1, True)


def test_an_empty_redis_is_rebuilt(nexus: Nexus) -> None:
    """The same answer comes out of the event log, and the stream goes on where the log ends."""
    before = answer(nexus)
    refused = nexus.run("rebuild")
    assert (refused.code, "in use" in refused.err) == (1, True)
    shutil.rmtree(nexus.folder / "nexus-data" / "redis")
    done = nexus.ok("rebuild")
    assert "events from the event log are in" in done.out
    assert answer(nexus) == before
    nexus.ok("check")
    (nexus.folder / "more.jsonl").write_bytes(call(1) + b"\n")
    more = nexus.ok("run", "--until-end", "--source", "more.jsonl", "--as", "segment")
    assert more.messages == 1
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
