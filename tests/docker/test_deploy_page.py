"""docs/deploy.md and docker/kubernetes.yaml: what they tell to run can be run, and fits together."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.settings import load
from tests.docker.commands import accepts
from tests.docker.test_compose import PROFILES, ours, services
from tests.docker.test_image import DOCKERFILE
from tests.end_to_end.programs import ROOT
from tests.test_docs import blocks

PAGE = ROOT / "docs" / "deploy.md"
MANIFEST = ROOT / "docker" / "kubernetes.yaml"
SECRET = {"NEXUS_SECRET": "sixteen bytes of it", "NEXUS_REDIS__URL": "rediss://redis.internal:6380/0"}


def manifests() -> dict[str, dict[str, Any]]:
    """What is applied, by name of what runs, or by kind."""
    items = yaml.safe_load(MANIFEST.read_text())["items"]
    runs = {"Deployment", "CronJob"}
    return {one["metadata"]["name"] if one["kind"] in runs else one["kind"]: one for one in items}


def pods() -> dict[str, dict[str, Any]]:
    """The specifications of pods."""
    specs = {name: one["spec"] for name, one in manifests().items() if name.startswith("nexus-")}
    return {
        name: (one["jobTemplate"]["spec"] if "jobTemplate" in one else one)["template"]["spec"]
        for name, one in specs.items()
    }


def lines() -> Iterator[list[str]]:
    """The commands of the page's shell blocks, in words, without what is said of them."""
    for block in blocks(PAGE, "sh"):
        yield from (shlex.split(line, comments=True) for line in block.splitlines())


# Kubernetes


@pytest.mark.parametrize("name", pods())
def test_what_a_pod_runs_is_a_command(name: str) -> None:
    """Its arguments are taken by the command line, and its image is that of the compose file."""
    (one,) = pods()[name]["containers"]
    accepts(one["args"])
    (ours_too,) = {service["image"] for service in ours().values()}
    assert one["image"] == ours_too.replace("${NEXUS_VERSION:-", "").rstrip("}")


@pytest.mark.parametrize("name", pods())
def test_a_pod_may_do_little_and_not_take_all(name: str) -> None:
    """Not root but the image's user, nothing writable but what is mounted, and memory with a limit."""
    pod = pods()[name]
    (one,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in DOCKERFILE
    assert one["securityContext"]["readOnlyRootFilesystem"]
    assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"requests", "limits"} == one["resources"].keys()
    assert "memory" in one["resources"]["limits"]


@pytest.mark.parametrize("name", pods())
def test_what_is_mounted_is_there(name: str) -> None:
    """Each mount has its volume and the other way round; each claim and each map is one of the file."""
    pod = pods()[name]
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert {one["name"] for one in pod["containers"][0]["volumeMounts"]} == volumes.keys()
    assert volumes["settings"]["configMap"]["name"] == manifests()["ConfigMap"]["metadata"]["name"]
    keeps = name in {"nexus-archive", "nexus-reconcile"}
    assert ("data" in volumes) is keeps
    if keeps:
        claim = manifests()["PersistentVolumeClaim"]["metadata"]["name"]
        assert volumes["data"]["persistentVolumeClaim"]["claimName"] == claim


@pytest.mark.parametrize("name", [name for name in pods() if name != "nexus-reconcile"])
def test_a_flow_is_asked_for_its_sign_of_life(name: str) -> None:
    """Probes look at the file that the command touches; only an old one is a reason to start again."""
    one, spec = pods()[name]["containers"][0], manifests()[name]["spec"]
    minutes = {}
    for probe in ("readinessProbe", "livenessProbe"):
        *_, check = one[probe]["exec"]["command"]
        assert one["args"][-1] in check
        minutes[probe] = int(re.findall(r"-mmin -(\d+)", check)[0])
    assert minutes == {"readinessProbe": 2, "livenessProbe": 15}
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert pods()[name]["terminationGracePeriodSeconds"] > 10


def test_the_job_is_alone_and_finds_the_event_log() -> None:
    """One at a time, with an end, not tried again; where archive is."""
    spec = manifests()["nexus-reconcile"]["spec"]
    assert (spec["concurrencyPolicy"], spec["jobTemplate"]["spec"]["backoffLimit"]) == ("Forbid", 0)
    pod = pods()["nexus-reconcile"]
    assert (pod["restartPolicy"], "--fail-on-drift" in pod["containers"][0]["args"]) == ("Never", True)
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    archive = manifests()["nexus-archive"]["spec"]
    assert term["labelSelector"] == archive["selector"]
    assert archive["strategy"] == {"type": "Recreate"}


def test_the_page_shows_the_job_as_it_is() -> None:
    """What docs/deploy.md quotes is in the file, setting by setting."""
    (block,) = blocks(PAGE, "yaml")
    shown, spec = yaml.safe_load(block), manifests()["nexus-reconcile"]["spec"]
    job = shown.pop("jobTemplate")["spec"]
    assert {name: spec[name] for name in shown} == shown
    assert {name: spec["jobTemplate"]["spec"][name] for name in job} == job


def test_the_map_holds_settings(tmp_path: Path) -> None:
    """With what the Secret adds they are complete: Kafka, Redis and a warehouse."""
    file = tmp_path / "nexus.yaml"
    file.write_text(manifests()["ConfigMap"]["data"]["nexus.yaml"])
    settings = load(SECRET, file)
    assert (settings.source, settings.warehouse_engine) == ("kafka", "duckdb")
    assert f"--from-literal={next(iter(SECRET))}" in PAGE.read_text()


# the page


def test_cron_runs_a_command() -> None:
    """The line of the crontab has five fields and a command that exists."""
    (block,) = blocks(PAGE, "crontab")
    *names, line = block.splitlines()
    assert all(re.fullmatch(r"[A-Z_]+=\S+", one) for one in names)
    *_, when, command = re.fullmatch(r"((?:\S+ ){5})(.*)", line).groups()  # type: ignore[union-attr]  # it fails here
    assert when.split() == ["*/15", "*", "*", "*", "*"]
    words = shlex.split(command)
    assert words[:3] == ["timeout", "1h", "/opt/nexus/bin/nexus"]
    accepts(words[3 : words.index(">>")])


def test_what_the_page_runs_by_nexus_exists() -> None:
    """As a process, as a container, and in a container that runs."""
    found = 0
    for words in lines():
        if words[:1] == ["nexus"]:
            accepts(words[1:])
        elif words[:2] == ["docker", "run"]:
            accepts_in_image(words)
        elif "exec" in words:
            at = words.index("exec")
            assert words[at + 1] in services()
            assert words[at + 2] == "nexus"
            accepts(words[at + 3 :])
        else:
            continue
        found += 1
    assert found >= 5


def accepts_in_image(words: list[str]) -> None:
    """What comes behind the image is for `nexus`; its own options show something and end."""
    (at,) = (nth for nth, word in enumerate(words) if word.startswith("nexus:"))
    if words[at + 1 :] != ["--version"]:
        accepts(words[at + 1 :])


def test_profiles_and_services_that_are_named_exist() -> None:
    """Those of `--profile` and `--scale`, and those that the page calls by their names."""
    text = PAGE.read_text()
    assert set(re.findall(r"--profile (\w+)", text)) == set(PROFILES)
    assert set(re.findall(r"--scale (\w+)=", text)) <= services().keys()
    assert {profile for one in services().values() for profile in one.get("profiles", ())} == set(PROFILES)
