"""`nexus demo --journey`: five sources, states, and a webhook that is told while one watches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.flows.terminal import answers, commands, interrupted, nexus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder in which the journey ran."""
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="module")
def story(folder: Path) -> str:
    """Give what the journey said."""
    done = nexus(folder, "demo", "--journey", "--seed", "2", "--data", "its data")
    assert done.stderr == ""
    return done.stdout


def test_a_webhook_is_told_of_the_setup_that_was_abandoned(story: str) -> None:
    """By nothing but the clock: the person is the one whose page follows."""
    told = re.search(
        r"^POST http://127\.0\.0\.1:\d+/ 204: (per_\w+) entered setup = abandoned at ", story, re.M
    )
    assert told is not None, story
    assert f"person {told[1]}" in story
    assert re.search(r"^  setup +abandoned +since ", story, re.M)


def test_somebody_was_two(story: str) -> None:
    """The second page is of a customer who is one only since signing in."""
    page = story.split("until signing in\n")[1]
    assert re.search(r"absorbed per_\w+, \d+ identifiers moved here by segment", page)


def test_every_command_that_is_named_can_be_run(story: str, folder: Path) -> None:
    """With the settings that the journey wrote: each page is somebody's, and the list has those at risk."""
    named = commands(story)
    assert len(named) == 11
    for one in named[:2]:
        (page,) = answers(nexus(folder, *one))
        assert page["states"]
    assert nexus(folder, *named[-1]).stdout.count("\n") > 1


@pytest.mark.usefixtures("story")
def test_the_secret_is_for_its_owner_alone(folder: Path) -> None:
    """The settings that the journey wrote hold that of the webhook: nobody else may read the file."""
    (file,) = (folder / "its data").glob("*.yaml")
    assert "whsec_" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_journey_that_is_stopped_says_so(tmp_path: Path) -> None:
    """SIGINT ends it as it ends every command: no story is told of what was not read."""
    with interrupted(tmp_path, "demo", "--journey") as process:
        assert process.stdout is not None
        assert "Everything is kept" in process.stdout.readline()


def test_the_journey_has_no_length_to_be_set(tmp_path: Path) -> None:
    """To name a number of events is wrong usage, and not passed over."""
    done = nexus(tmp_path, "demo", "--journey", "--count", "100", code=2)
    assert "leave out --count" in done.stderr
    assert done.stderr.count("\n") == 1
