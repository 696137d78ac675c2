"""The exported JSON Schemas."""

import json
from pathlib import Path

import pytest

from schemas import export


def test_the_exported_schemas_are_fresh() -> None:
    """The files say what the models say: after a change run `python -m schemas.export`."""
    assert list(export.stale()) == []


def test_check_finds_what_is_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing or changed file ends with code 1 and its name; a written one with 0."""
    folder = tmp_path / "json"
    assert export.main(["--check"], folder) == 1
    assert "event.schema.json is stale" in capsys.readouterr().err
    assert export.main([], folder) == 0
    assert export.main(["--check"], folder) == 0
    (folder / "event.schema.json").write_text("{}")
    assert export.main(["--check"], folder) == 1


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown argument writes nothing."""
    assert export.main(["--chekc"]) == 2
    assert "usage" in capsys.readouterr().err


def test_the_event_schema_says_what_is_required() -> None:
    """Producers in other languages can check themselves against it."""
    schema = json.loads(export.schemas()["event.schema.json"])
    assert schema["required"] == ["event_id", "source", "event_name", "occurred_at", "participants"]
    assert schema["properties"]["participants"]["maxItems"] == 1000
    assert schema["properties"]["occurred_at"]["format"] == "date-time"


def test_the_transition_schema_tells_the_kinds_apart() -> None:
    """Each kind is named by its `transition`."""
    schema = json.loads(export.schemas()["transition.schema.json"])
    assert set(schema["discriminator"]["mapping"]) == {
        "entity_created",
        "identifier_added",
        "entities_merged",
        "entity_relabelled",
        "entity_split",
        "identifier_quarantined",
        "identifier_released",
        "entity_erased",
        "redacted",
        "trait_changed",
        "membership_started",
        "membership_ended",
        "state_entered",
        "state_exited",
        "state_corrected",
        "snapshot_started",
        "snapshot_identifiers",
        "snapshot_traits",
        "snapshot_memberships",
        "snapshot_states",
        "snapshot_ended",
    }
