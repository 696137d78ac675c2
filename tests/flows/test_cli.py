"""The command line: what people and programs get, and the code that it ends with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.flows.terminal import answers, call, command, environment, nexus, record, typed, write_lines

DECIDING = ("apart", "block", "erase", "operations", "release", "together", "unblock")
COMMANDS = (
    "bench", "check", "demo", "export", "history", "lookup", "notifications", "publish", "quarantine",
    "replay-dlq", "run", "timeline", "why", *DECIDING,
)  # fmt: skip
WITH_JSON = (
    "bench", "check", "history", "lookup", "notifications", "quarantine", "replay-dlq", "timeline", "why",
    *DECIDING,
)  # fmt: skip

# Two strangers, on a laptop and on a phone, who turn out to be one.
STORY = [
    record(call("m-1", anonymousId="laptop", userId="u-7", traits={"email": "Ada@acme.example"}), 1_000),
    record(call("m-2", anonymousId="phone"), 2_000),
    record(call("m-3", anonymousId="phone", userId="u-7"), 3_000),
    record(call("m-4", userId="u-9", traits={"email": "bo@acme.example"}), 4_000),
    record(b"<html>", 5_000),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the story was run, embedded."""
    folder = tmp_path_factory.mktemp("told")
    source = write_lines(folder / "story.jsonl", STORY)
    nexus(folder, "run", "--source", source, "--as", "record", "--until-end")
    return folder


def id_of(folder: Path, identifier: str) -> str:
    """Give the id of the person who has an identifier."""
    return str(answers(nexus(folder, "lookup", "person", identifier, "--json"))[0]["entity_id"])


# help


def test_nexus_alone_shows_the_commands(tmp_path: Path) -> None:
    """Who types `nexus` sees what there is, and no error."""
    shown = typed(tmp_path).stdout
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, tmp_path: Path) -> None:
    """The help of each command shows how it is typed; those that a program may read have --json."""
    shown = typed(tmp_path, name, "--help").stdout
    assert f"  nexus {name}" in shown.partition("Example")[2]
    assert ("--json" in shown) == (name in WITH_JSON)


# wrong usage and settings


WRONG: Sequence[tuple[Sequence[str], dict[str, str], str]] = [
    (("frob",), {}, "frob"),
    (("lookup", "person"), {}, "TYPE=VALUE"),
    (("lookup", "person", "email"), {}, "TYPE=VALUE"),
    (("lookup", "robot", "email=a@b.example"), {}, "person"),
    (("why", "person", "email=a@b.example"), {}, "B"),
    (("why", "person", "email=a@b.example", "u-7"), {}, "TYPE=VALUE"),
    (("why", "person", "email=a@b.example", "user_id=u-7", "--limit", "0"), {}, "limit"),
    (("quarantine", "robot"), {}, "person"),
    (("run", "--frob"), {}, "--frob"),
    (("run", "--source", "missing.jsonl", "--as", "segment"), {}, "missing.jsonl"),
    (("run", "--source", "-"), {}, "--as"),
    (("run", "--source", "-", "--as", "fax"), {}, "segment"),
    (("run", "--as", "segment"), {}, "--source"),
    (("run", "--source", "kafka"), {}, "kafka.bootstrap.servers"),
    (("run", "--workers", "0"), {}, "workers"),
    (("run", "publish", "--source", "-", "--as", "event"), {}, "--source"),
    (("run", "notify"), {}, "notifications"),
    (("notifications", "test", "nobody"), {}, "nobody"),
    (("check", "--config", "missing.yaml"), {}, "missing.yaml"),
    (("check", "--namespace", "A b"), {}, "namespace"),
    (("check",), {"NEXUS_NONSENSE": "1"}, "nonsense"),
    (("check",), {"NEXUS_REDIS__URL": "http://x"}, "redis.url"),
    (("check",), {"NEXUS_SECRET": "short"}, "16 bytes"),
    (("check",), {"NEXUS_KAFKA__GROUP_ID": "x"}, "group.id"),
    (("run",), {"NEXUS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "NEXUS_KAFKA__NONSENSE": "1"}, "nonsense"),
    (("replay-dlq", "--as", "fax"), {}, "segment"),
    (("replay-dlq", "--limit", "0"), {}, "limit"),
    (("demo", "--count", "0"), {}, "count"),
    (("block", "person"), {}, "TYPE=VALUE"),
    (("block", "robot", "email=a@b.example"), {}, "person"),
    (("apart", "person", "email=a@b.example"), {}, "TYPE=VALUE"),
    (("erase", "person", "email=a@b.example", "--timeout", "soon"), {}, "--timeout"),
    (("operations", "--data", "nowhere"), {}, "nowhere"),
    (("demo", "--data", "/proc/nexus"), {}, "/proc/nexus"),
    (("bench", "--scale", "0"), {}, "scale"),
]


@pytest.mark.parametrize(("arguments", "settings", "names"), WRONG, ids=[" ".join(each[0]) for each in WRONG])
def test_wrong_usage_is_one_line_and_code_2(
    arguments: Sequence[str], settings: dict[str, str], names: str, tmp_path: Path
) -> None:
    """The last line names what is wrong or what to do; nothing is on standard output."""
    done = typed(tmp_path, *arguments, settings=settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert names in done.stderr.splitlines()[-1]
    assert sum(line.startswith("nexus: ") for line in done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "question", [("lookup", "person", "email=a@b.example"), ("export", "person"), ("check",)]
)
def test_a_question_makes_no_store(question: Sequence[str], tmp_path: Path) -> None:
    """Who mistypes the data folder is told so, and no folder appears under the wrong name."""
    done = typed(tmp_path, *question, "--data", "typo")
    assert done.returncode == 2
    assert "there is no data in typo" in done.stderr
    assert not (tmp_path / "typo").exists()


def test_an_unknown_namespace_names_those_that_there_are(told: Path) -> None:
    """Who forgets the namespace sees which the folder has."""
    assert "(there: default)" in nexus(told, "check", "--namespace", "demo", code=2).stderr


def test_a_server_that_is_away_is_one_line(tmp_path: Path) -> None:
    """No Redis behind the URL: one line and code 1, for a question as for a run."""
    for arguments in (["lookup", "person", "email=a@b.example"], ["run"]):
        done = nexus(tmp_path, *arguments, code=1, settings={"NEXUS_REDIS__URL": "redis://127.0.0.1:1/0"})
        assert done.stderr.splitlines()[-1].startswith("nexus: Redis does not answer")


def test_a_broker_that_is_away_is_no_flood(tmp_path: Path) -> None:
    """librdkafka says many times a second that it cannot connect; the terminal hears it once."""
    away = {"NEXUS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "NEXUS_REDIS__URL": "redis://127.0.0.1:1/0"}
    done = nexus(tmp_path, "replay-dlq", "--json", settings=away, code=1)
    assert len(done.stderr.splitlines()) <= 3
    assert "%3|" not in done.stderr


# run


def test_a_run_says_where_everything_is_and_what_it_did(tmp_path: Path) -> None:
    """The folders are named before, the counts afterwards, both beside the results."""
    source = write_lines(tmp_path / "story.jsonl", STORY)
    done = nexus(tmp_path, "run", "--source", source, "--as", "record", "--until-end")
    assert done.stdout == ""
    assert "nexus-data/default/input" in done.stderr
    assert "5 messages" in done.stderr.splitlines()[-1]
    assert "4 events" in done.stderr.splitlines()[-1]
    assert "1 dead letters" in done.stderr.splitlines()[-1]


def test_a_pipe_is_a_source(tmp_path: Path) -> None:
    """Standard input is appended to the input, and everything of it is resolved by the end."""
    lines = b"".join(call(f"m-{number}", userId=f"u-{number}") + b"\n" for number in range(20))
    nexus(tmp_path, "run", "--source", "-", "--as", "segment", "--until-end", stdin=lines)
    assert len(answers(nexus(tmp_path, "export", "person"))) == 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_with_its_summary(number: signal.Signals, tmp_path: Path) -> None:
    """It drains, says what was done and ends with code 0 within ten seconds."""
    source = write_lines(tmp_path / "story.jsonl", STORY)
    with subprocess.Popen(
        command("run", "--source", source, "--as", "record"),
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 30
        while not any((tmp_path / "nexus-data/default/dead-letters").glob("*.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "5 messages" in err.splitlines()[-1]


# questions


def test_a_lookup_finds_the_person_with_all_identifiers(told: Path) -> None:
    """However the value is written; for people the id, since when it is known, and a line for each
    identifier.
    """
    shown = nexus(told, "lookup", "person", "email= ADA@acme.example").stdout
    assert shown.startswith("person per_")
    assert "known since 1970-01-01T00:00:01.000Z by segment m-1" in shown
    assert all(value in shown for value in ("laptop", "phone", "u-7", "ada@acme.example"))


def test_a_lookup_for_programs_is_one_object(told: Path) -> None:
    """With --json: type, id, size, first evidence, identifiers sorted by type and value."""
    (found,) = answers(nexus(told, "lookup", "person", "user_id=u-7", "--json"))
    assert found["entity_type"] == "person"
    assert found["size"] == 4
    assert found["first_seen"] == {
        "source": "segment", "event_id": "m-1", "ingested_at": "1970-01-01T00:00:01.000Z"
    }  # fmt: skip
    named = [(one["type"], one["value"]) for one in found["identifiers"]]
    assert named == sorted(named)
    assert ("email", "ada@acme.example") in named


def test_a_lookup_by_id_finds_the_same(told: Path) -> None:
    """By the id of today as by a former one; an id of the other kind is wrong usage."""
    (found,) = answers(nexus(told, "lookup", "person", "user_id=u-7", "--json"))
    history = answers(nexus(told, "history", found["entity_id"], "--json"))[0]
    for entity_id in (found["entity_id"], history["changes"][0]["other_id"]):
        assert answers(nexus(told, "lookup", "person", entity_id, "--json")) == [found]
    assert "name the group" in nexus(told, "lookup", "group", found["entity_id"], code=2).stderr


def test_a_lookup_of_nobody_is_code_1(told: Path) -> None:
    """Nobody has it: a line for people, an object without an id for programs."""
    done = nexus(told, "lookup", "person", "email=nobody@acme.example", "--json", code=1)
    (found,) = answers(done)
    assert (found["entity_id"], found["state"], found["entities"]) == (None, "unnamed", [])
    assert "no person has this email" in done.stderr


def test_a_lookup_of_a_blocked_value_says_so(told: Path) -> None:
    """A blocked value names nobody, and the list that blocks it is named."""
    done = nexus(told, "lookup", "person", "email=test@example.com", "--json", code=1)
    (found,) = answers(done)
    assert (found["state"], found["blocked"]) == ("by rule", "test-address")
    assert "blocked (test-address)" in done.stderr


def test_a_lookup_of_what_cannot_be_is_wrong_usage(told: Path) -> None:
    """A value without a normal form is the asker's mistake; it is not repeated on the screen."""
    done = nexus(told, "lookup", "person", "email=not-an-address", code=2)
    assert "not-an-address" not in done.stderr


def test_a_history_tells_whom_it_absorbed(told: Path) -> None:
    """Birth and merge with their events, for people and for programs."""
    entity_id = id_of(told, "email=ada@acme.example")
    shown = nexus(told, "history", entity_id).stdout
    assert "by segment m-1: first seen" in shown
    assert "by segment m-3: absorbed per_" in shown
    (found,) = answers(nexus(told, "history", entity_id, "--json"))
    assert found["now"] == entity_id
    assert [one["what"] for one in found["changes"]] == ["absorbed"]
    assert found["changes"][0]["cause"]["event_id"] == "m-3"


def test_an_absorbed_id_answers_for_ever(told: Path) -> None:
    """The history of an id that was merged away says into whom, and who answers today."""
    entity_id = id_of(told, "email=ada@acme.example")
    absorbed = answers(nexus(told, "history", entity_id, "--json"))[0]["changes"][0]["other_id"]
    shown = nexus(told, "history", absorbed).stdout
    assert f"was merged into {entity_id}" in shown
    assert f"answers today as {entity_id}" in shown


def test_a_history_says_where_its_memory_begins(tmp_path: Path) -> None:
    """The store keeps the last 20 changes of an id; older ones are not passed over in silence."""
    lines = [record(call("m-0", userId="u-0"), 1)]
    lines += [record(call(f"a-{n}", anonymousId=f"device-{n}"), 10 + n) for n in range(30)]
    lines += [record(call(f"b-{n}", anonymousId=f"device-{n}", userId="u-0"), 100 + n) for n in range(30)]
    source = write_lines(tmp_path / "lines.jsonl", lines)
    nexus(tmp_path, "run", "--source", source, "--as", "record", "--until-end")
    entity_id = id_of(tmp_path, "user_id=u-0")
    assert "memory begins here" in nexus(tmp_path, "history", entity_id).stdout
    (found,) = answers(nexus(tmp_path, "history", entity_id, "--json"))
    assert not found["is_complete"]
    assert len(found["changes"]) == 20


def test_the_history_of_nobody_is_code_1(told: Path) -> None:
    """An id that nobody ever had is no error of usage; one that is no id is."""
    assert "nobody" in nexus(told, "history", "per_" + "0" * 32, code=1).stderr
    assert "per_ or grp_" in nexus(told, "history", "per_1", code=2).stderr


def test_an_export_is_sorted_lines(told: Path) -> None:
    """Type, value and entity, by type and value; two persons, and no line of what was never named."""
    rows = answers(nexus(told, "export", "person"))
    named = [(row["identifier_type"], row["identifier_value"]) for row in rows]
    assert named == sorted(named)
    assert len(rows) == 6
    assert len({row["entity_id"] for row in rows}) == 2
    assert nexus(told, "export", "group").stdout == ""


def test_an_export_ends_when_its_reader_has_seen_enough(told: Path) -> None:
    """A pipe that is closed early, as by `head`, is no failure and no noise."""
    with subprocess.Popen(
        command("export", "person"),
        cwd=told,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_a_check_looks_at_everything(told: Path) -> None:
    """Settings, input, store, outbox and invariants are ok; that no secret is set is a warning."""
    found = {one["check"]: one["verdict"] for one in answers(nexus(told, "check", "--json"))}
    well = (
        "settings",
        "input",
        "store",
        "operations",
        "outbox",
        "event log",
        "pending",
        "notifications",
        "invariants",
    )
    assert found == {**dict.fromkeys(well, "ok"), "secret": "warning"}


def test_no_command_shows_a_bar_to_a_program(told: Path) -> None:
    """Where standard error is no terminal, nothing moves on it."""
    assert nexus(told, "export", "person").stderr == ""
    assert "\x1b" not in nexus(told, "check").stderr


def test_a_bar_is_shown_on_a_terminal(tmp_path: Path) -> None:
    """Where standard error is a terminal, a long run shows how far it is, and cleans up behind it."""
    source = write_lines(tmp_path / "lines.jsonl", [call(f"m-{n}", userId=f"u-{n}") for n in range(5_000)])
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command("run", "--source", source, "--as", "segment", "--until-end"),
        cwd=tmp_path, env={**environment(), "TERM": "xterm", "COLUMNS": "100"}, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert process.wait(30) == 0
    assert "resolving" in shown.decode()
    assert "5,000 messages" in shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how a terminal says that nobody writes to it any more
        return b""


def test_a_secret_is_never_shown(told: Path) -> None:
    """Neither the namespace's secret nor a password in a URL is in what the commands say."""
    secret, password = "correct horse battery staple", "hunter2hunter2"
    done = nexus(told, "check", code=1, settings={"NEXUS_SECRET": secret})
    assert secret not in done.stdout + done.stderr
    url = f"redis://ada:{password}@127.0.0.1:1/0"
    away = nexus(told, "check", code=1, settings={"NEXUS_REDIS__URL": url})
    assert password not in away.stdout + away.stderr


def test_what_a_program_reads_is_json_alone(told: Path) -> None:
    """Every line of --json is one JSON value, whatever else is said goes to standard error."""
    for arguments in (("check",), ("lookup", "person", "user_id=u-7"), ("replay-dlq", "--dry-run")):
        for line in nexus(told, *arguments, "--json").stdout.splitlines():
            json.loads(line)
