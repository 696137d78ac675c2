"""Rules that are changed beside a stream that runs, and through a replay."""

from __future__ import annotations

import json
from pathlib import Path

from tests.end_to_end.programs import Nexus, eventually

RULES = "rules: {identifiers: {email: {blocked: {exact: [team@acme.example]}}, user_id: {unique: true}}}\n"


def event(number: int, **identifiers: str) -> bytes:
    """Give a line with an event that names one person."""
    named = [{"type": kind, "value": value} for kind, value in identifiers.items()]
    written = {
        "event_id": f"e-{number}",
        "source": "app",
        "event_name": "seen",
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
