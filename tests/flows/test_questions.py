"""The commands that ask why, embedded, as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.identifiers import Keyring, entity_id, identifier
from tests.flows.terminal import answers, call, nexus, record, write_lines

# Ada on a laptop, a kiosk that three persons use, and a second address for Ada, where one is allowed.
STORY = [
    record(call("m-1", anonymousId="laptop", userId="u-7", traits={"email": "Ada@acme.example"}), 1_000),
    record(call("m-2", anonymousId="kiosk", userId="u-7"), 2_000),
    record(call("m-3", anonymousId="kiosk", userId="u-8"), 3_000),
    record(call("m-4", anonymousId="kiosk", userId="u-9"), 4_000),
    record(call("m-5", userId="u-7", traits={"email": "ada@home.example"}), 5_000),
]
RULES = b"rules:\n  identifiers:\n    email: {unique: true}\n"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the story was run, embedded, under rules of its own."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "nexus.yaml").write_bytes(RULES)
    source = write_lines(folder / "story.jsonl", STORY)
    nexus(folder, "run", "--source", source, "--as", "record", "--until-end")
    return folder


def kiosk() -> str:
    """Give the id made from the kiosk's identifier."""
    return entity_id("person", Keyring("default").key(identifier("person", "anonymous_id", "kiosk")))


def test_two_that_are_one_have_a_chain(told: Path) -> None:
    """The chain is drawn line by line, and what would separate them is told."""
    shown = nexus(told, "why", "person", "email= ADA@acme.example", "anonymous_id=laptop").stdout
    assert "are one person, per_" in shown
    assert "  email=ada@acme.example\n  └ event m-1 from segment, 1970-01-01T00:00:01.000Z" in shown
    assert "Without this they would not be one:" in shown


def test_a_chain_for_programs_is_one_object(told: Path) -> None:
    """Each step with its kind, its evidence, its identifiers and where it leads."""
    (found,) = answers(nexus(told, "why", "person", "user_id=u-7", "anonymous_id=laptop", "--json"))
    assert found["is_one"]
    (step,) = found["chain"]
    assert step["kind"] == "event"
    assert step["evidence"]["event_id"] == "m-1"
    assert step["to"] == {"type": "anonymous_id", "value": "laptop"}
    assert len(step["identifiers"]) == 3
    assert [edge["evidence"] for edge in found["separating"]] == [step["evidence"]]


def test_what_is_quarantined_breaks_a_chain(told: Path) -> None:
    """Two who share a kiosk are not one, and the kiosk is named with its limit and its event."""
    shown = nexus(told, "why", "person", "email=ada@acme.example", "user_id=u-9").stdout
    assert "are not one" in shown
    assert "anonymous_id=kiosk   ✗ quarantined: seen with more than 2 values of user_id" in shown
    (found,) = answers(nexus(told, "why", "person", "user_id=u-7", "user_id=u-9", "--json"))
    assert [guard["state"] for guard in found["guards"]] == ["quarantined"]
    assert found["guards"][0]["reason"]["brought_by"]["event_id"] == "m-4"


def test_what_is_suspended_breaks_a_chain(told: Path) -> None:
    """The link that would give Ada two addresses unites nothing, and says why."""
    shown = nexus(told, "why", "person", "user_id=u-7", "email=ada@home.example").stdout
    assert "✗ suspended: it would give one entity two values of email" in shown
    (found,) = answers(nexus(told, "quarantine", "person", "--suspended", "--json"))
    assert (found["state"], found["unique"]) == ("suspended", "email")
    assert found["evidence"]["event_id"] == "m-5"
    assert "suspended: it would give" in nexus(told, "quarantine", "--suspended").stdout


def test_what_a_rule_blocks_is_one_with_nobody(told: Path) -> None:
    """The rule is named; that is an answer, and no error."""
    shown = nexus(told, "why", "person", "user_id=u-7", "email=test@example.com").stdout
    assert "blocked by a rule (test-address)" in shown


def test_what_no_event_names_is_code_1(told: Path) -> None:
    """There is nothing to explain, which is said."""
    done = nexus(told, "why", "person", "user_id=u-7", "user_id=nobody", code=1)
    assert "user_id=nobody: no event names it" in done.stdout


def test_a_bound_that_is_too_small_is_said(told: Path) -> None:
    """An answer that was cut short says so, and by which option it can go further."""
    assert "--limit" in nexus(told, "why", "person", "user_id=u-7", "user_id=u-9", "--limit", "2").stdout


def test_ids_are_explained_as_well(told: Path) -> None:
    """An id stands for the identifier that it is made from."""
    shown = nexus(told, "why", "person", kiosk(), "user_id=u-8").stdout
    assert "anonymous_id=kiosk and user_id=u-8 are not one" in shown


def test_the_quarantine_is_a_list(told: Path) -> None:
    """What was taken out, why, since when, and how many it would have glued together."""
    (found,) = answers(nexus(told, "quarantine", "--json"))
    assert (found["type"], found["value"], found["state"]) == ("anonymous_id", "kiosk", "quarantined")
    assert found["since"] == "1970-01-01T00:00:04.000Z"
    assert (found["would_glue"], found["is_at_least"]) == (3, False)
    assert "would have glued together 3 persons" in nexus(told, "quarantine", "person").stdout
    assert nexus(told, "quarantine", "group").stdout == ""


def test_who_is_quarantined_is_nobody_with_a_reason(told: Path) -> None:
    """By value as by id: the reason, and the entities of its partners, oldest first."""
    (found,) = answers(nexus(told, "lookup", "person", "anonymous_id=kiosk", "--json", code=1))
    assert (found["entity_id"], found["state"]) == (None, "quarantined")
    ids = [
        answers(nexus(told, "lookup", "person", f"user_id={user}", "--json"))[0]["entity_id"]
        for user in ("u-7", "u-8", "u-9")
    ]
    assert found["entities"] == ids
    shown = nexus(told, "lookup", "person", kiosk(), code=1).stdout
    assert "is quarantined: seen with more than 2 values of user_id" in shown
    assert [line.strip() for line in shown.splitlines()[-3:]] == ids


def test_an_id_once_given_always_answers(told: Path) -> None:
    """The history of an id whose identifier was taken out says so, and where its partners are."""
    shown = nexus(told, "history", kiosk()).stdout
    assert "by segment m-4: its identifier was taken out of the graph" in shown
    assert "it is quarantined" in shown
    (found,) = answers(nexus(told, "history", kiosk(), "--json"))
    assert (found["now"], found["state"], len(found["entities"])) == (None, "quarantined", 3)


def test_a_history_tells_what_split_off(tmp_path: Path) -> None:
    """Both sides of a split remember it: how many left as whom, and from whom they came."""
    source = write_lines(tmp_path / "story.jsonl", STORY)
    one_by_one = {"NEXUS_BATCH": "1"}
    nexus(tmp_path, "run", "--source", source, "--as", "record", "--until-end", settings=one_by_one)
    ada, other = (
        answers(nexus(tmp_path, "lookup", "person", f"user_id={user}", "--json"))[0]["entity_id"]
        for user in ("u-7", "u-8")
    )
    assert f"by segment m-4: split: 1 identifier left as {other}" in nexus(tmp_path, "history", ada).stdout
    assert (
        f"by segment m-4: split off from {ada} with 1 identifier\n"
        in nexus(tmp_path, "history", other).stdout
    )
