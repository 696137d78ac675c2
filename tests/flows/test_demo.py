"""The demo: one command, no settings, and a story at the end that is true."""

from __future__ import annotations

import re
import resource
from pathlib import Path

import pytest

from tests.end_to_end.programs import eventually
from tests.flows.terminal import answers, commands, interrupted, nexus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the demo ran."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def story(folder: Path) -> str:
    """Give what the demo said, as anybody sees it who types `nexus demo`: half a minute's work at most, on
    however busy a machine.
    """
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = nexus(folder, "demo")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began < 30
    assert done.stderr == ""
    return done.stdout


def number(pattern: str, story: str) -> int:
    """Give the number that stands before these words."""
    match = re.search(rf"([\d,]+) {pattern}", story)
    assert match is not None, pattern
    return int(match[1].replace(",", ""))


def test_the_folder_is_named(story: str, folder: Path) -> None:
    """Where everything is kept is said first."""
    assert str(folder / "nexus-data") in story.splitlines()[0]


def test_the_numbers_are_those_of_the_answer(story: str, folder: Path) -> None:
    """Messages, persons and companies are what an export gives."""
    assert number("messages came in", story) == 20_000
    for words, entity_type in (("persons", "person"), ("companies", "group")):
        rows = answers(nexus(folder, "export", entity_type, "--namespace", "demo"))
        assert number(words, story) == len({row["entity_id"] for row in rows})


def test_nobody_was_mixed_up(story: str) -> None:
    """The producer, who knows, finds every customer right."""
    assert "no two were mixed up" in " ".join(story.split())


def test_a_merge_is_shown_with_its_reason(story: str, folder: Path) -> None:
    """The two before it, the event with its source, and identifiers of both in it; the ids are real."""
    chapter = story.partition("One merge, as it happened")[2].partition("The whole history")[0]
    before, _, reason = chapter.partition("Then ")
    survivor, absorbed = re.findall(r"per_[0-9a-f]{32}", before)
    named = {line.split()[1] for line in reason.splitlines() if line.startswith("     ")}
    for person in before.split(absorbed):
        assert any(value in person for value in named)
    (found,) = answers(nexus(folder, "history", absorbed, "--json", "--namespace", "demo"))
    assert found["now"] == survivor
    assert found["changes"][0]["cause"]["source"] == reason.split()[0]
    assert found["changes"][0]["cause"]["event_id"] in reason


def chapter(title: str, story: str) -> str:
    """Give a chapter of the story."""
    return story.partition(title)[2].partition("\n\nA person")[0].partition("\n\nJunk that")[0]


def test_one_who_came_apart_is_shown_with_the_reason(story: str, folder: Path) -> None:
    """Two with a tablet, the third who is one too many, who the two are now, and why, as `nexus why` says."""
    told = chapter("A person who came apart again", story)
    assert len(re.findall(r"^  2026-\d\d-\d\d \d\d:\d\d  ", told, re.MULTILINE)) == 3
    glued, *_ = re.findall(r"one person, (per_[0-9a-f]{32})", told)
    assert len(re.findall(r"^   per_[0-9a-f]{32}$", told, re.MULTILINE)) == 2
    assert re.search(
        r"anonymous_id=tablet-\w+   ✗ quarantined: seen with more than 2 values of user_id", told
    )
    assert "Without this they would not be one" in told
    apart = commands(story)[2]
    assert "are not one." in nexus(folder, *apart).stdout
    split = nexus(folder, "history", glued, "--namespace", "demo").stdout
    assert "left as per_" in split


def test_a_person_who_never_was_is_shown_with_the_reason(story: str, folder: Path) -> None:
    """A kiosk that would have glued forty, what keeps two of them apart, and what `nexus quarantine` says."""
    told = " ".join(chapter("A person who never was", story).split())
    assert number("customers signed in on one device", told) == 40
    assert "would have made one person of 40" in told
    assert re.search(r"anonymous_id=kiosk-\w+ ✗ quarantined: seen with more than 2 values of user_id", told)
    rows = answers(nexus(folder, "quarantine", "--json", "--namespace", "demo"))
    assert {row["value"].partition("-")[0]: row["would_glue"] for row in rows} == {"kiosk": 40, "tablet": 3}


@pytest.mark.parametrize(("count", "seed"), [("1000", "3"), ("2000", "1"), ("5000", "11")])
def test_a_thousand_events_are_enough(count: str, seed: str, tmp_path: Path) -> None:
    """From there on somebody comes apart, and nobody is mixed up in the end, whatever the seed."""
    told = nexus(tmp_path, "demo", "--count", count, "--seed", seed).stdout
    assert "A person who came apart again" in told
    assert "A person who never was" in told
    assert "no two were mixed up" in " ".join(told.split())


def test_dead_letters_and_junk_are_told(story: str) -> None:
    """How many could not be read and why, with one of them; and what would have glued strangers together."""
    dead = story.partition("The dead letters")[2].partition("Now you")[0]
    listed = dead.partition("For example")[0]
    reasons = {
        name: int(count) for name, count in re.findall(r"([a-z0-9-]+) (\d+)(?:,|$)", listed, re.MULTILINE)
    }
    assert sum(reasons.values()) == number("of them could not be read", story)
    assert "For example" in dead
    assert re.search(r"\d+ persons by email test@example\.com", story)


def test_what_to_type_next_works(story: str, folder: Path) -> None:
    """Each command that the story ends with can be pasted."""
    typed = commands(story)
    asking = ["lookup", "why", "why", "quarantine", "history"]
    assert [each[0] for each in typed] == [*asking, "export", "replay-dlq", "check"]
    for arguments in typed:
        assert nexus(folder, *arguments).stdout


@pytest.mark.usefixtures("story")
def test_a_second_run_leaves_the_first_alone(folder: Path) -> None:
    """It takes a namespace of its own, and says so; another seed has other customers."""
    before = nexus(folder, "export", "person", "--namespace", "demo").stdout
    again = nexus(folder, "demo", "--count", "2000", "--seed", "7")
    assert "demo-2" in again.stdout.splitlines()[0]
    assert "earlier runs" in again.stdout
    assert nexus(folder, "export", "person", "--namespace", "demo").stdout == before


def test_settings_play_no_part(tmp_path: Path) -> None:
    """A broker that is away, named in the environment or a file, does not keep anybody from the demo."""
    away = {"NEXUS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    (tmp_path / "nexus.yaml").write_text("redis: {url: 'redis://127.0.0.1:1'}\n")
    done = nexus(tmp_path, "demo", "--count", "500", settings=away)
    assert "500 events went through" in done.stdout


@pytest.mark.parametrize("count", ["1", "5", "40"])
def test_a_few_events_tell_a_short_story(count: str, tmp_path: Path) -> None:
    """Too few for a merge is no failure."""
    done = nexus(tmp_path, "demo", "--count", count, "--data", "a folder")
    assert f"{int(count):>9,} messages came in" in done.stdout
    for arguments in commands(done.stdout):
        nexus(tmp_path, *arguments)


def test_a_demo_that_is_stopped_says_so(tmp_path: Path) -> None:
    """SIGINT ends it with one line, and what was resolved can be asked."""
    with interrupted(tmp_path, "demo", "--count", "300000"):
        is_begun = (tmp_path / "nexus-data/demo/input").glob
        eventually(lambda: any(is_begun("*.jsonl")), "events are appended")
