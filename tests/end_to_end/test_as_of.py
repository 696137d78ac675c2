"""What the event log makes possible for people who look: who somebody was by then, and all that happened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from flows.client import Nexus as Client
from flows.settings import load
from schemas.errors import SettingsError
from tests.end_to_end.programs import Nexus

pytestmark = pytest.mark.timeout(300)  # a dozen commands each
MONDAY, TUESDAY, WEDNESDAY = (f"2026-01-{day:02}T10:00:00.000Z" for day in (5, 6, 7))


def event(number: int, at: str, user: str, email: str, **said: Any) -> str:
    """Give an event that came in when it happened, and names one person."""
    named = [{"type": "user_id", "value": user}, {"type": "email", "value": email}]
    person = {"ref": "p", "entity_type": "person", "role": "reader", "identifiers": named}
    traits = {"traits": said.pop("traits", {})}
    head = {"event_id": f"e-{number}", "source": "app", "event_name": f"seen_{number}"}
    when = {"occurred_at": at, "ingested_at": at}
    return json.dumps({**head, **when, "participants": [{**person, **traits}], **said})


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give a folder in which Ada and Bo become one on Wednesday; a link remembers two events."""
    nexus = Nexus(tmp_path, {"NEXUS_RECENT_EVENTS": 2})
    mood = {"of": "p", "state_name": "mood", "state_value": "good"}
    lines = [
        event(1, MONDAY, "u-1", "ada@acme.example", traits={"name": "Ada"}, states=[mood]),
        event(2, TUESDAY, "u-2", "bo@acme.example", traits={"name": "Bo"}),
        event(3, WEDNESDAY, "u-1", "bo@acme.example"),
        *(event(n, f"2026-01-08T10:00:0{n}Z", "u-1", "ada@acme.example") for n in range(4, 9)),
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    nexus.ok("run", "--until-end", "--source", "lines.jsonl", "--as", "event", "--import")
    return nexus


def test_somebody_as_of_then(nexus: Nexus) -> None:
    """Before the first event nobody was known; then two, and later one, each with what was said by then."""
    ada, bo = (("lookup", "person", f"email={name}@acme.example") for name in ("ada", "bo"))
    early = nexus.run(*ada, "--as-of", "2026-01-05")
    assert (early.code, early.err) == (1, "nexus: no person had this email by 2026-01-05T00:00:00.000Z\n")
    first = json.loads(nexus.ok(*ada, "--as-of", TUESDAY, "--json").out)
    other = json.loads(nexus.ok(*bo, "--as-of", TUESDAY, "--json").out)
    assert first["entity_id"] != other["entity_id"]
    assert (first["size"], first["traits"][0]["value"], first["states"][0]["state_value"]) == (
        2,
        "Ada",
        "good",
    )
    assert (
        json.loads(nexus.ok("lookup", "person", other["entity_id"], "--as-of", TUESDAY, "--json").out)
        == other
    )
    later = json.loads(nexus.ok(*bo, "--as-of", WEDNESDAY, "--json").out)
    assert (later["entity_id"], later["size"], later["traits"][0]["value"]) == (first["entity_id"], 4, "Bo")
    shown = nexus.ok(*bo, "--as-of", WEDNESDAY).out
    assert shown.startswith(f"as of {WEDNESDAY}\nperson {first['entity_id']}\n")
    for wrong in ("2126-01-01", "yesterday"):
        assert nexus.run(*bo, "--as-of", wrong).code == 2
    lacking = nexus.run(*bo, "--as-of", TUESDAY, NEXUS_WAREHOUSE__ENGINE="none")
    assert (lacking.code, "no event log" in lacking.err) == (2, True)


def test_beside_whoever_reconciles(nexus: Nexus) -> None:
    """A question needs nothing of the DuckDB file, which another process has, and leaves it as it is."""
    nexus.ok("reconcile")
    file = nexus.folder / "nexus-data" / "default" / "warehouse.duckdb"
    with duckdb.connect(str(file)) as session:
        session.execute("SELECT COUNT(*) FROM nexus_work_links")
        before = file.read_bytes()
        nexus.ok("lookup", "person", "user_id=u-1", "--as-of", TUESDAY)
        nexus.ok("timeline", "person", "user_id=u-1")
        assert nexus.run("retract", "app", "e-3", "--dry-run").code == 0
        assert file.read_bytes() == before


def test_the_whole_history(nexus: Nexus) -> None:
    """A timeline has all events of the log, or the newest; where there is none, what the store remembers."""
    whole = json.loads(nexus.ok("timeline", "person", "user_id=u-1", "--json").out)
    assert (events(whole), whole["events_by"]) == ([f"e-{n}" for n in range(1, 9)], "event log")
    assert {tuple(one["roles"]) for one in whole["timeline"] if one["what"] == "event"} == {("reader",)}
    newest = json.loads(nexus.ok("timeline", "person", "user_id=u-1", "--json", "--events", "3").out)
    assert (events(newest), newest["is_complete"]) == (["e-6", "e-7", "e-8"], False)
    kept = ["e-2", "e-3", "e-7", "e-8"]
    for lacking in ({"NEXUS_WAREHOUSE__ENGINE": "none"}, {}):
        words = () if lacking else ("--recent",)
        some = json.loads(nexus.ok("timeline", "person", "user_id=u-1", "--json", *words, **lacking).out)
        assert set(events(some)) <= set(kept)
        assert some["events_by"] == "store"
    assert "(all events, by the event log)" in nexus.ok("timeline", "person", "user_id=u-1", "--text").out
    recent = nexus.ok("timeline", "person", "user_id=u-1", "--text", "--recent").out
    assert "(of events the store remembers the last 2)" in recent


def test_a_log_that_does_not_answer(nexus: Nexus) -> None:
    """Who wants to see a customer is told how to do without it."""
    segments = nexus.folder / "nexus-data" / "default" / "events" / "segments"
    file = next(segments.glob("*/nexus_events.parquet"))
    file.rename(file.with_suffix(".away"))
    refused = nexus.run("timeline", "person", "user_id=u-1", "--text")
    assert (refused.code, refused.err.count("\n")) == (1, 1), refused.err
    assert "--recent" in refused.err
    assert "Bo" in nexus.ok("timeline", "person", "user_id=u-1", "--text", "--recent").out


def events(found: dict[str, Any]) -> list[str]:
    """The ids of the events on a page."""
    return [one["event_id"] for one in found["timeline"] if one["what"] == "event"]


def test_python_can_as_well(nexus: Nexus, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client gives the same, and says what it does not take."""
    monkeypatch.chdir(nexus.folder)
    with Client(load({})) as client:
        known = client.as_of("person", "user_id=u-2", TUESDAY)
        assert known.then.profile is not None
        assert [one.value for one in known.then.profile.traits] == ["Bo"]
        nobody = client.as_of("person", "user_id=u-2", MONDAY)
        assert (nobody.then.profile, nobody.absence and nobody.absence.state) == (None, "unnamed")
        with pytest.raises(SettingsError, match="RFC 3339"):
            client.as_of("person", "user_id=u-2", "yesterday")
        found = client.timeline("person", "user_id=u-1", events=2)
        assert [one.event_id for one in found.recent.events] == ["e-7", "e-8"]
