"""Rules that are changed beside a stream that runs, and through a replay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from schemas.mapping import EntityMapping
from schemas.transitions import Interval, from_json
from tests.end_to_end.programs import Nexus, eventually
from tests.end_to_end.test_embedded import lines_of

RULES = "rules: {identifiers: {email: {blocked: {exact: [team@acme.example]}}, user_id: {unique: true}}}\n"

PLAN = "rules: {states: {plan: {of: person, values: [free, paid], events: [{event: %s, value: %s}]}%s}}\n"
HEALTH = ", health: {of: person, values: [good], when: [{value: good, if: plan = paid}]}"


def event(number: int, event_name: str = "seen", **identifiers: str) -> bytes:
    """Give a line with an event that names one person."""
    named = [{"type": kind, "value": value} for kind, value in identifiers.items()]
    written = {
        "event_id": f"e-{number}",
        "source": "app",
        "event_name": event_name,
        "occurred_at": "2026-01-05T10:00:00Z",
        "participants": [{"entity_type": "person", "identifiers": named}],
    }
    return json.dumps(written).encode() + b"\n"


def persons(nexus: Nexus) -> dict[str, str]:
    """Give the person of every identifier value."""
    return {value: entity_id for (_, _, value), entity_id in nexus.mapping().items()}


def test_an_embedded_stream_goes_on_under_other_rules(tmp_path: Path) -> None:
    """A run takes the new rules live; settings with others end with code 2; a replay from zero agrees."""
    nexus, folder = Nexus(tmp_path), tmp_path / "nexus-data"
    (tmp_path / "new.yaml").write_text(RULES)
    with nexus.running("run", "--source", "-", "--as", "event", pipe=True) as running:
        running.stdin.write(event(1, user_id="u-1", email="team@acme.example"))
        running.stdin.write(event(2, user_id="u-2", email="team@acme.example"))
        running.stdin.flush()
        eventually((folder / "default" / "control").is_dir, "it has begun")
        eventually(lambda: len(persons(nexus)) == 3, "everybody is known")
        assert len(set(persons(nexus).values())) == 1
        assert "1 persons and groups changed" in nexus.ok("rules", "apply", "new.yaml").out
        refused = nexus.run("export", "person")
        assert refused.code == 2
        assert "nexus rules apply" in refused.err
        (tmp_path / "nexus.yaml").write_text(RULES)
        running.stdin.write(event(3, user_id="u-3", email="team@acme.example"))
        running.stdin.flush()
        eventually(lambda: "u-3" in persons(nexus), "who came later is known")
        assert running.terminate().code == 0
    before = persons(nexus)
    assert (sorted(before), len(set(before.values()))) == (["u-1", "u-2", "u-3"], 3)

    (folder / "redis").rename(tmp_path / "lost")
    (tmp_path / "nexus.yaml").unlink()  # as it began: the operator event brings the rules in again
    nexus.ok("run", "--until-end")
    (tmp_path / "nexus.yaml").write_text(RULES)
    assert persons(nexus) == before
    nexus.ok("check")


def test_other_states_come_with_a_rebuild(tmp_path: Path) -> None:
    """A living store cannot take them and says what to do; then answer and consumers have them."""
    nexus, fresh = Nexus(tmp_path / "one"), Nexus(tmp_path / "other")
    before, after = PLAN % ("cancelled", "free", HEALTH), PLAN % ("subscribed", "paid", HEALTH)
    for each, rules in ((nexus, before), (fresh, after)):
        each.folder.mkdir()
        (each.folder / "nexus.yaml").write_text(rules)
        told = [
            event(n, name, user_id=f"u-{n}") for n, name in enumerate(("cancelled", "subscribed", "seen"))
        ]
        (each.folder / "events.jsonl").write_bytes(b"".join(told))
        each.ok("run", "--until-end", "--source", "events.jsonl", "--as", "event")
    (nexus.folder / "new.yaml").write_text(after)
    refused = nexus.run("rules", "apply", "new.yaml")
    assert (refused.code, "nexus rebuild" in refused.err) == (2, True)
    shutil.rmtree(nexus.folder / "nexus-data" / "redis")
    (nexus.folder / "nexus.yaml").write_text(after)
    nexus.ok("rebuild")
    nexus.ok("run", "--until-end")
    expected = fresh.ok("export", "states").out
    assert {json.loads(line)["state_name"] for line in expected.splitlines()} == {"plan", "health"}
    assert nexus.ok("export", "states").out == expected
    assert timelines(nexus) == timelines(fresh) != {}
    assert "no drift" in nexus.ok("reconcile", "--fail-on-drift").out


def timelines(nexus: Nexus) -> dict[str, dict[str, list[Interval]]]:
    """What a consumer of the transitions knows of states."""
    consumer = EntityMapping()
    for line in lines_of(nexus, "transitions"):
        consumer.apply(from_json(line.data))
    return consumer.profiles.timelines()
