"""The commands by which a person decides, as somebody at a terminal has them. No run is going: they do it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.flows.terminal import answers, call, command, environment, nexus, record, write_lines

STORY = [
    record(call("m-1", anonymousId="laptop", userId="u-7", traits={"email": "Ada@acme.example"}), 1_000),
    record(call("m-2", anonymousId="phone", userId="u-7"), 2_000),
    record(call("m-3", userId="u-9", traits={"email": "bo@acme.example"}), 3_000),
]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Give a folder in which the story was run, embedded."""
    source = write_lines(tmp_path / "story.jsonl", STORY)
    nexus(tmp_path, "run", "--source", source, "--as", "record", "--until-end")
    return tmp_path


def persons(folder: Path) -> dict[str, str]:
    """Give the person of every identifier."""
    rows = answers(nexus(folder, "export", "person"))
    return {row["identifier_value"]: row["entity_id"] for row in rows}


def test_a_dry_run_shows_what_would_happen(told: Path) -> None:
    """For people as sentences, for programs as the transitions, and nothing happens."""
    before = persons(told)
    both = ("person", "email=ada@acme.example", "user_id=u-9")
    shown = nexus(told, "together", *both, "--dry-run").stdout
    assert f"{before['u-7']} would absorb {before['u-9']}, with 2 identifiers" in shown
    assert "Nothing was changed" in shown
    made, *follows = answers(nexus(told, "together", *both, "--dry-run", "--json"))
    assert {one["entity_id"] for one in follows} <= {before["u-7"]}
    assert (made["transition"], made["cause"]["source"]) == ("entities_merged", "nexus-operator")
    parted = nexus(told, "block", "person", "user_id=u-7", "--dry-run").stdout
    assert f"{before['u-7']} would fall into 2" in parted
    assert persons(told) == before
    assert nexus(told, "operations").stdout == ""


def test_a_decision_is_carried_out_and_listed(told: Path) -> None:
    """Without a run that is going the command does it itself; the audit says who, when, what and why."""
    reason = "everybody's account"
    done = nexus(told, "block", "person", "user_id=u-7", "--who", "eve", "--why", reason)
    assert done.stdout.startswith("Done: operation ")
    assert "u-7" not in persons(told)
    assert len(set(persons(told).values())) == 3
    (found,) = answers(nexus(told, "operations", "--json"))
    assert (found["operation"], found["who"], found["why"]) == ("block", "eve", reason)
    assert found["identifiers"] == [{"entity_type": "person", "type": "user_id", "value": "u-7"}]
    assert f"because: {reason}" in nexus(told, "operations").stdout
    (back,) = answers(nexus(told, "unblock", "person", "user_id=u-7", "--json"))
    assert (back["operation"], back["is_done"]) == ("unblock", True)
    assert len(set(persons(told).values())) == 2


def test_who_does_not_wait_leaves_it_to_the_stream(told: Path) -> None:
    """It is recorded, `nexus check` says that something waits, and the next run carries it out."""
    before = persons(told)
    done = nexus(told, "block", "person", "user_id=u-7", "--no-wait")
    assert "is recorded" in done.stderr
    assert persons(told) == before
    found = {one["check"]: one["verdict"] for one in answers(nexus(told, "check", "--json"))}
    assert found["operations"] == "warning"
    assert "1 operator events" in nexus(told, "run", "--until-end").stderr
    assert "u-7" not in persons(told)


def test_an_erasure_ends_with_a_certificate(told: Path) -> None:
    """Ids, counts, what remains where until when, and no value; the second time there is nobody."""
    ada = persons(told)["u-7"]
    shown = nexus(told, "erase", "person", "email=ada@acme.example", "--dry-run").stdout
    assert f"{ada} would end, and 4 identifiers be erased" in shown
    (certificate,) = answers(nexus(told, "erase", "person", ada, "--why", "a request", "--json"))
    assert (certificate["ids"], certificate["is_complete"]) == ([ada], True)
    assert certificate["removed"] == {"identifiers": 4, "links": 2}
    assert any("until its segments are deleted" in one["until"] for one in certificate["remains"])
    assert set(persons(told)) == {"u-9", "bo@acme.example"}
    assert "erased already" in nexus(told, "erase", "person", "email=ada@acme.example", code=1).stderr
    nexus(told, "run", "--until-end")
    assert nexus(told, "check").returncode == 0


def test_an_erasure_asks_on_a_terminal(told: Path) -> None:
    """Who does not say yes has erased nobody."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        command("erase", "person", "user_id=u-7"), cwd=told, env=environment(), stdin=theirs,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        os.write(ours, b"n\n")
        assert process.stderr is not None
        assert b"It cannot be undone" in process.stderr.read()
        assert process.wait(30) != 0
    os.close(ours)
    os.close(theirs)
    assert "u-7" in persons(told)


def test_nobody_is_code_1_and_wrong_usage_code_2(told: Path) -> None:
    """One line each, and a value that cannot be meant is not repeated."""
    cases: list[tuple[tuple[str, ...], int, Callable[[str], bool]]] = [
        (("block", "person", "per_" + "0" * 32), 1, lambda said: "nobody was ever called" in said),
        (("erase", "person", "user_id=nobody"), 1, lambda said: "nothing to erase" in said),
        (("block", "person", "email=canary"), 2, lambda said: "canary" not in said),
        (("unblock", "person", "email=test@example.com"), 2, lambda said: "by the rules" in said),
        (("apart", "person", "user_id=u-7", "user_id=u-7"), 2, lambda said: "name two" in said),
        (("block", "group", persons(told)["u-7"]), 2, lambda said: "the id of a person" in said),
        (("block", "person", "user_id=u-7", "--why", "a\nb"), 2, lambda said: "--why" in said),
    ]
    for arguments, code, says in cases:
        said = nexus(told, *arguments, code=code).stderr
        assert said.count("\n") == 1
        assert says(said), said
