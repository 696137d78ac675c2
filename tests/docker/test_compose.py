"""docker/compose.yaml: what its containers run exists, keeps its data, says honestly how it is, and tells no
secret.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from demo_producer.cli import main
from flows.settings import load
from tests.chaos.processes import until
from tests.conftest import unavailable
from tests.docker.commands import accepts
from tests.end_to_end.programs import ROOT, Nexus, Running
from tests.services import KafkaServer, Missing, RedisServer, compose, make_topic

FILE = ROOT / "docker" / "compose.yaml"
SETTINGS = ROOT / "docker" / "nexus.yaml"
SECRET = {"NEXUS_SECRET": "sixteen bytes of it"}
PROFILES = ("demo", "notify")
MINUTE_S = 60
WHERE = re.compile(r"LISTENERS|VOTERS|LOG_DIRS|NODE_ID|ROLES|PROTOCOL_MAP|HEAP|CLUSTER_ID")  # is the test's


def services() -> dict[str, dict[str, Any]]:
    """The services by name, as they stand in the file."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    """The services that run our image."""
    return {name: one for name, one in services().items() if one["image"].startswith("nexus:")}


def health(service: dict[str, Any]) -> list[str]:
    """The command of a health check, as the engine runs it."""
    kind, *words = (word.replace("$$", "$") for word in service["healthcheck"]["test"])
    return ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words


def broker_settings() -> dict[str, str]:
    """What the broker is told besides where it is, in the words of server.properties."""
    told: dict[str, Any] = services()["kafka"]["environment"]
    return {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): str(value)
        for name, value in told.items()
        if not WHERE.search(name)
    }


def redis_settings() -> dict[str, str]:
    """What Redis is told, option by option."""
    program, *words = shlex.split(services()["redis"]["command"])
    assert program == "redis-server"
    return {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}


@pytest.mark.parametrize("name", ours())
def test_what_it_runs_is_a_command(name: str) -> None:
    """Each command of our image is one that the command line takes, option by option."""
    one = ours()[name]
    accepts(one["command"], one.get("entrypoint", ["nexus"]))


@pytest.mark.parametrize(
    "words", [["run", "nothing"], ["run", "--alife", "x"], ["reconcile", "--every", "often"]]
)
def test_what_is_no_command_would_be_seen(words: list[str]) -> None:
    """An argument or an option that the command line does not take."""
    with pytest.raises(click.UsageError):
        accepts(words)


def test_every_flow_runs_once() -> None:
    """Each flow is a service, and so are reconciling on a schedule and the demo's producer."""
    runs = {name: one["command"][:2] for name, one in ours().items()}
    assert runs.pop("reconcile") == ["reconcile", "--every"]
    assert runs.pop("producer")[0] == "--kafka"
    assert runs == {name: ["run", name] for name in ("resolve", "publish", "notify", "archive")}


@pytest.mark.parametrize("name", services())
def test_every_service_is_bounded(name: str) -> None:
    """Each has limits of memory and processors; each that goes on has a health check and is started again."""
    one = services()[name]
    assert {"mem_limit", "cpus", "logging"} <= one.keys()
    if name != "topics":  # it makes them and ends: who needs them waits for its code
        assert {"test", "interval", "timeout", "retries"} <= one["healthcheck"].keys()
        assert one["restart"] == ("no" if name == "producer" else "unless-stopped")


@pytest.mark.parametrize("name", ours())
def test_ours_may_do_little(name: str) -> None:
    """A file system that is read-only, no capabilities, no new privileges."""
    one = ours()[name]
    assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
    assert one["security_opt"] == ["no-new-privileges:true"]


def test_what_is_kept_is_in_a_volume() -> None:
    """Kafka's log, Redis's file, and the event log, which archive and reconcile share."""
    kept = {
        name: place
        for name, one in services().items()
        for place in one.get("volumes", ())
        if not place.startswith("./")
    }
    assert kept == {
        "archive": "data:/data",
        "reconcile": "data:/data",
        "kafka": "kafka:/var/lib/kafka/data",
        "redis": "redis:/data",
    }
    assert services()["kafka"]["environment"]["KAFKA_LOG_DIRS"] == "/var/lib/kafka/data"
    assert set(yaml.safe_load(FILE.read_text())["volumes"]) == {"data", "kafka", "redis"}


def test_no_secret_stands_in_it() -> None:
    """What is secret has to come from outside: without it nothing starts."""
    given = {
        name: value for one in services().values() for name, value in (one.get("environment") or {}).items()
    }
    secret = {name: value for name, value in given.items() if re.search("SECRET|PASSWORD|TOKEN", name)}
    assert secret.keys() == {"NEXUS_SECRET"}
    assert secret["NEXUS_SECRET"].startswith("${NEXUS_SECRET:?")


def test_its_settings_are_ours() -> None:
    """The file that is mounted is read without complaint, and names what the other services are called."""
    settings = load(SECRET, SETTINGS)
    assert (settings.source, settings.warehouse_engine) == ("kafka", "duckdb")
    assert settings.kafka["bootstrap.servers"] == "kafka:9092"
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://redis:6379/0"


def test_the_versions_are_those_that_the_tests_run() -> None:
    """Our image has the project's version, the broker the one of the services."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {one["image"] for one in ours().values()} == {f"nexus:${{NEXUS_VERSION:-{version}}}"}
    (kafka,) = re.findall(
        r"<version>(\d+\.\d+\.\d+)</version>", (ROOT / "tests/services/pom.xml").read_text()
    )
    assert services()["kafka"]["image"] == f"apache/kafka:{kafka}"


@pytest.mark.parametrize("name", [name for name in ours() if name != "producer"])
def test_a_health_check_looks_at_the_sign_of_life(name: str, tmp_path: Path) -> None:
    """It is well while the file that the command touches is young; not when it is old, nor without one."""
    one, file = ours()[name], tmp_path / "alive"
    told = one["command"][one["command"].index("--alive") + 1]
    *shell, check = health(one)
    (minutes,) = map(int, re.findall(r"-mmin -(\d+)", check))
    command = [*shell, check.replace(told, str(file))]
    assert str(file) in command[-1]

    def code() -> int:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode

    assert code() != 0
    for age_s, is_well in ((0, True), ((minutes - 1) * MINUTE_S - 5, True), (minutes * MINUTE_S + 5, False)):
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)
        assert (code() == 0) is is_well, age_s


def topics_told(folder: Path) -> list[dict[str, Any]]:
    """The topics that the service `topics` makes, from its own script with `echo` in the tool's place."""
    one = services()["topics"]
    tool = folder / "kafka-topics.sh"
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    script = one["command"][0].replace("$$", "$").replace("/opt/kafka/bin/kafka-topics.sh", str(tool))
    done = subprocess.run(
        [*one["entrypoint"], script], capture_output=True, text=True, timeout=10, check=True
    )
    return [
        {
            "bootstrap": re.findall(r"--bootstrap-server (\S+)", line),
            "name": re.findall(r"--topic (\S+)", line)[0],
            "partitions": int(re.findall(r"--partitions (\d+)", line)[0]),
            "config": dict(re.findall(r"--config (\S+)=(\S+)", line)),
        }
        for line in done.stdout.splitlines()
    ]


def test_the_topics_of_the_input_are_made(tmp_path: Path) -> None:
    """Those of the settings, where the broker is, with the broker's times."""
    made = topics_told(tmp_path)
    assert {one["name"] for one in made} == set(load(SECRET, SETTINGS).input.topics)
    assert {place for one in made for place in one["bootstrap"]} == {"kafka:9092"}
    assert {one["config"]["message.timestamp.type"] for one in made} == {"LogAppendTime"}


# on real servers


def understood(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What docker-compose makes of the file."""
    try:
        command = [*compose(), "-f", str(FILE), *options, "config"]
    except Missing as missing:
        unavailable(missing)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.services
def test_docker_compose_takes_the_file() -> None:
    """With every profile it finds the services that we see, with the commands that we see."""
    done = understood(*(f"--profile={name}" for name in PROFILES), **SECRET)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert found.keys() == services().keys()
    assert {name: found[name]["command"] for name in ours()} == {
        name: one["command"] for name, one in ours().items()
    }
    assert found["resolve"]["environment"]["NEXUS_SECRET"] == SECRET["NEXUS_SECRET"]


@pytest.mark.services
def test_without_a_secret_nothing_starts() -> None:
    """The refusal says what is missing, and where to read about it."""
    done = understood()
    assert done.returncode != 0
    assert "docs/deploy.md" in done.stderr


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[tuple[Nexus, str]]:
    """Give a folder for commands, whose Kafka and Redis are set as in the file; and where Kafka is."""
    with ExitStack() as opened:
        try:
            kafka = opened.enter_context(KafkaServer(tmp_path / "kafka", broker_settings()))
        except Missing as missing:
            unavailable(missing)
        redis = opened.enter_context(RedisServer(tmp_path / "redis", config=redis_settings()))
        for one in topics_told(tmp_path):
            make_topic(kafka.bootstrap, one["name"], one["partitions"], one["config"])
        settings = {
            "NEXUS_CONFIG": SETTINGS,
            "NEXUS_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
            "NEXUS_REDIS__URL": redis.url,
            "NEXUS_DATA": tmp_path / "data",
            **SECRET,
        }
        yield Nexus(tmp_path, settings), kafka.bootstrap


@pytest.mark.services
@pytest.mark.timeout(400)
def test_its_commands_work_together(stack: tuple[Nexus, str], tmp_path: Path) -> None:
    """As processes of their own, on servers that are set as in the file: what the producer sends is resolved,
    published, archived and reconciled without drift; all say that they live, and end well when told to.
    """
    nexus, kafka = stack
    running: dict[str, Running] = {}
    with ExitStack() as opened:
        for name in ("resolve", "publish", "archive"):
            running[name] = opened.enter_context(started(nexus, name, tmp_path))
        until(
            "all flows are at work", lambda: all(is_well(name, tmp_path) for name in running), 90, every=0.5
        )
        assert produced(kafka, 1_000) == 0
        nexus.ok("run", "resolve", "--until-end")
        running["reconcile"] = opened.enter_context(started(nexus, "reconcile", tmp_path))
        until("it was reconciled", lambda: is_well("reconcile", tmp_path), 90, every=0.5)
        assert {name: one.terminate().code for name, one in running.items()} == dict.fromkeys(running, 0)
    report = json.loads(running["reconcile"].out.read_text().partition("\n")[0])
    assert (report["drift"], report["compared"] > 100) == ({}, True)
    checked = nexus.ok("check")
    assert "wrong" not in checked.out
    assert ": 0 messages behind the stream" in checked.out


def started(nexus: Nexus, name: str, folder: Path) -> AbstractContextManager[Running]:
    """A service's command, beside the block. Its sign of life is a file that is called as it is, and the job
    runs as often as a test wants.
    """
    others = {"/tmp/alive": str(folder / name), "15m": "3s"}
    return nexus.running(*(str(others.get(word, word)) for word in ours()[name]["command"]))


def is_well(name: str, folder: Path) -> bool:
    """What the service's health check says."""
    command = [word.replace("/tmp/alive", str(folder / name)) for word in health(ours()[name])]
    return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


def produced(kafka: str, count: int) -> int:
    """Run the producer as the file does, but quicker and shorter; its exit code."""
    words = list(ours()["producer"]["command"])
    for name, value in (("--kafka", kafka), ("--rate", "2000"), ("--count", str(count))):
        words[words.index(name) + 1] = value
    return main(words)
