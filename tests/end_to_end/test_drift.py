"""Harm of every kind is done to a store while the stream runs under load; `nexus reconcile` sets it right.

A Redis from an older copy is in `tests/chaos/test_reconcile.py`.

Each harm is done to one person of whom nothing more is told, and to one who gets an event every quarter of a
second all the while.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from flows.embedded import PrivateRedis
from flows.settings import load
from resolver.keys import Keys
from resolver.links import Linker
from resolver.packing import unpack_node
from resolver.reconcile import SOURCE
from resolver.redis_store import Durability, RedisStore
from resolver.repair import Repair
from resolver.restructure import Restructuring
from resolver.store import Batch, Cut
from schemas.decode import decode
from schemas.events import Event, Message, log_position
from schemas.identifiers import Identifier, Keyring
from schemas.instants import format_instant
from schemas.mapping import EntityMapping
from schemas.transitions import Change, Transition, from_json
from tests.end_to_end.programs import Nexus, Running, eventually
from tests.end_to_end.test_embedded import events_of, lines_of
from tests.end_to_end.test_reconcile import reports

pytestmark = pytest.mark.timeout(400)  # a dozen commands each

RULES = """
rules:
  identifiers: {user_id: {}, email: {}}
  states:
    plan:
      of: person
      values: [free, paid]
      events: [{event: subscribed, value: paid}, {event: cancelled, value: free}]
"""
KEYRING = Keyring("default")
BEGAN_MS = 1_767_600_000_000
PARTS = ("person", "group", "traits", "memberships", "states")
KINDS = ("lost union", "wrong union", "missing identifier", "stale trait", "wrong interval", "lost pointer")
SUBJECTS = [(kind, who) for kind in KINDS for who in ("quiet", "busy")]


def name_of(kind: str, who: str) -> str:
    """What a subject is called in its identifiers."""
    return f"{kind.replace(' ', '-')}-{who}"


def said(number: str, event_name: str, *identifiers: str, at: int = 0, **traits: object) -> dict[str, Any]:
    """An event of one person. An identifier is written `type=value`."""
    named = [dict(zip(("type", "value"), one.split("="), strict=True)) for one in identifiers]
    return {
        "event_id": number,
        "source": "app",
        "event_name": event_name,
        "occurred_at": format_instant(BEGAN_MS + at),
        "participants": [{"entity_type": "person", "identifiers": named, "traits": traits}],
    }


def life_of(kind: str, who: str) -> Iterator[dict[str, Any]]:
    """What is told of a subject before the harm: every kind of it has something to spoil."""
    name = name_of(kind, who)
    mail, other = f"email={name}@acme.example", f"email=other-{name}@acme.example"
    yield said(f"{name}-1", "cancelled", mail, f"user_id={name}", at=1, theme="light")
    yield said(f"{name}-2", "seen", other, f"user_id=other-{name}", at=2)
    yield said(f"{name}-union", "seen", mail, other, at=3)
    yield said(f"{name}-device", "seen", mail, f"anonymous_id={name}", at=4)
    yield said(f"{name}-trait", "seen", mail, at=5, theme="dark")
    yield said(f"{name}-paid", "subscribed", mail, at=6)
    yield said(f"{name}-stranger", "seen", f"user_id=stranger-{name}", at=7)


class Forgetful:
    """The input log without some events: what a store has taken in that missed them."""

    def __init__(self, nexus: Nexus, lost: Collection[str]) -> None:
        self._nexus, self._lost = nexus, lost

    def reach(self, cut: Cut) -> None:
        """It is written before it is read."""

    def events(self, keys: Collection[bytes]) -> Iterable[Event]:
        """Those that name one of these identifiers."""
        kept = (one for one in events_of(self._nexus) if one.event_id not in self._lost)
        return [one for one in kept if not keys_of(one).isdisjoint(keys)]


def keys_of(one: Event) -> set[bytes]:
    """The keys of all identifiers in an event."""
    return {KEYRING.key(each) for participant in one.participants for each in participant.identifiers}


class Vandal:
    """Does harm to the store in the data folder, beside whatever runs."""

    def __init__(self, nexus: Nexus, client: redis.Redis) -> None:
        self._nexus, self._client = nexus, client
        rules = load({}, nexus.folder / "nexus.yaml").rules
        self._store = RedisStore(client, "default", KEYRING, Durability(), rules=rules)

    def spoil(self) -> None:
        """Do each harm to its two subjects."""
        lost = {
            f"{name_of(kind, who)}-{event}"
            for kind, event in (
                ("lost union", "union"),
                ("missing identifier", "device"),
                ("stale trait", "trait"),
                ("wrong interval", "paid"),
            )
            for who in ("quiet", "busy")
        }
        self._forget(lost)
        for who in ("quiet", "busy"):
            self._unite(name_of("wrong union", who))
            self._lose_pointer(name_of("lost pointer", who))

    def _forget(self, lost: Collection[str]) -> None:
        """Make of the subjects what they would be without some events."""
        keys = {key for one in events_of(self._nexus) if one.event_id in lost for key in keys_of(one)}
        restructuring = Restructuring(self._client, "default", self._store)
        log = Forgetful(self._nexus, lost)
        repair = Repair(self._client, "default", self._store, log, restructuring)
        repair.run(sorted(keys), log_position(BEGAN_MS, "vandal", "1"))

    def _unite(self, name: str) -> None:
        """Take in an event that nobody sent."""
        stranger = said(f"{name}-invented", "seen", f"user_id={name}", f"user_id=stranger-{name}")
        message = Message("input", 0, 0, 1, BEGAN_MS, json.dumps(stranger).encode())
        linker = Linker(KEYRING, self._store.rules)
        self._store.apply(Batch((), linker.evidence(decode(message, "event").events)))

    def _lose_pointer(self, name: str) -> None:
        """Lose the pointers of whoever was merged into another."""
        keys = Keys("default")
        for user_id in (name, f"other-{name}"):
            key = KEYRING.key(Identifier("person", "user_id", user_id))
            record: Any = self._client.hget(keys.nodes, key)
            self._client.hdel(keys.slots, str(unpack_node(key, record).slot))


class Load:
    """Sends strangers, a hundred a second, and four times a second an event of each busy subject."""

    def __init__(self, run: Running) -> None:
        self._run, self._is_over = run, threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _send(self) -> None:
        number = 0
        while not self._is_over.wait(0.01):
            number += 1
            one = said(f"load-{number}", "seen", f"user_id=load-{number}", f"anonymous_id=load-{number % 50}")
            send(self._run, [one])
            if number % 25 == 0:
                send(self._run, (busy(name_of(kind, "busy"), number) for kind in KINDS))


def busy(name: str, number: int) -> dict[str, Any]:
    """Something that is told of somebody again and again: what came last has to be there in the end."""
    return said(f"{name}-busy-{number}", "seen", f"email={name}@acme.example", at=100 + number, count=number)


def send(run: Running, events: Iterable[Mapping[str, Any]]) -> None:
    """Into the pipe."""
    run.stdin.write(b"".join(json.dumps(one).encode() + b"\n" for one in events))
    run.stdin.flush()


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give an empty folder with rules."""
    (tmp_path / "nexus.yaml").write_text(RULES)
    return Nexus(tmp_path, {"NEXUS_WAREHOUSE__EVERY_S": 0.2})


@contextmanager
def vandal(nexus: Nexus) -> Iterator[Vandal]:
    """Somebody who has access to the store in the data folder."""
    with PrivateRedis(nexus.folder / "nexus-data" / "redis") as server:
        client = redis.Redis.from_url(server.url)
        yield Vandal(nexus, client)
        client.close()


@contextmanager
def streaming(nexus: Nexus, events: Iterable[Mapping[str, Any]] = ()) -> Iterator[Running]:
    """A stream under load that has taken in some events; afterwards all that was sent is worked off."""
    with nexus.running("run", "--source", "-", "--as", "event", pipe=True) as run:
        send(run, [*events, said("last", "seen", "user_id=last")])
        eventually(lambda: nexus.run("lookup", "person", "user_id=last").code == 0, "it has begun")
        with Load(run):
            yield run
        assert run.terminate().code == 0
    nexus.ok("run", "--until-end")


def answer(nexus: Nexus) -> tuple[str, ...]:
    """All that `export` says."""
    return tuple(nexus.ok("export", part).out for part in PARTS)


def is_right(nexus: Nexus, fresh: Path) -> None:
    """Nothing differs, the answer is that of a store that nobody harmed, and consumers have been told it."""
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out
    nexus.ok("check")
    unharmed = Nexus(fresh, nexus.settings)
    for log in ("input", "control"):
        shutil.copytree(nexus.folder / "nexus-data" / "default" / log, fresh / "nexus-data" / "default" / log)
    shutil.copy(nexus.folder / "nexus.yaml", fresh)
    unharmed.ok("run", "--until-end")
    expected = answer(unharmed)
    assert answer(nexus) == expected
    consumer = EntityMapping()
    for transition in told(nexus):
        consumer.apply(transition)
    assert consumer.missing == ()
    assert consumer.as_dict() == nexus.mapping()
    rows = map(json.loads, expected[PARTS.index("traits")].splitlines())
    held = {
        (entity_id, name, one.value)
        for entity_id, of in consumer.profiles.traits().items()
        for name, one in of.items()
    }
    assert held == {(row["entity_id"], row["name"], row["value"]) for row in rows}


def told(nexus: Nexus) -> Iterator[Transition]:
    """What consumers got."""
    return (from_json(line.data) for line in lines_of(nexus, "transitions"))


def test_every_kind_of_harm_is_found_and_repaired_under_load(nexus: Nexus, tmp_path: Path) -> None:
    """Each is counted under its kind and told with the reconciliation as its cause; then there is none."""
    with streaming(nexus, (one for subject in SUBJECTS for one in life_of(*subject))):
        with vandal(nexus) as somebody:
            somebody.spoil()
        (report,) = reports(nexus.ok("reconcile", "--json").out)
        (again,) = reports(nexus.ok("reconcile", "--json").out)
    assert report["drift"].keys() == {"identifier_elsewhere", "identifier_missing", "trait", "state"}
    assert again["drift"] == {}
    repairs = {
        one.transition for one in told(nexus) if isinstance(one, Change) and one.cause.source == SOURCE
    }
    assert {
        "entities_merged",
        "entity_split",
        "identifier_added",
        "trait_changed",
        "state_corrected",
    } <= repairs
    is_right(nexus, tmp_path / "fresh")


def test_rules_that_only_the_log_can_carry_out_are_settled_under_load(nexus: Nexus, tmp_path: Path) -> None:
    """Addresses that named nobody do so from now on: what the stream has forgotten the log knows."""
    blocked = RULES.replace("email: {}", "email: {blocked: {patterns: ['.*-busy@acme[.]example']}}")
    (nexus.folder / "nexus.yaml").write_text(blocked)
    (tmp_path / "new.yaml").write_text(RULES)
    with streaming(nexus, (one for subject in SUBJECTS for one in life_of(*subject))):
        nexus.ok("rules", "apply", "new.yaml")
        (nexus.folder / "nexus.yaml").write_text(RULES)
        (report,) = reports(nexus.ok("reconcile", "--json").out)
        (again,) = reports(nexus.ok("reconcile", "--json").out)
    assert (report["drift"], report["pending"] > 0) == ({}, True)
    assert (again["drift"], again["pending"]) == ({}, 0)
    is_right(nexus, tmp_path / "fresh")
