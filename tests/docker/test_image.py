"""docker/Dockerfile and what builds it, as far as that can be seen without an engine."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.end_to_end.programs import ROOT

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_what_the_wheel_is_made_of_goes_in_and_nothing_else() -> None:
    """Of all files the image sees the packages, what describes them, and the constraints."""
    first, *lines = (line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#")
    seen = {line.removeprefix("!") for line in lines if line.startswith("!")}
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert first == "*"
    assert seen == {*packages, "pyproject.toml", "README.md", "LICENSE", "constraints"}


def test_every_install_is_locked() -> None:
    """What comes from an index comes by its hash and as a wheel; what we made needs none."""
    installs = re.findall(
        r"pip (?:--python \S+ )?(?:install|wheel) .*?(?=&&|$)", DOCKERFILE.replace("\\\n", ""), re.M
    )
    assert len(installs) == 4
    for one in installs:
        assert "--only-binary :all: --require-hashes" in one or "--no-index --no-deps" in one


def test_it_is_not_root() -> None:
    """The last user is a number, the one whose folder is made for what is kept."""
    (user,) = re.findall(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)
    assert f"--uid {user} " in DOCKERFILE
    assert DOCKERFILE.rstrip().endswith('ENTRYPOINT ["nexus"]')


def engines(folder: Path, at_work: Mapping[str, bool]) -> dict[str, str]:
    """An environment in which these are the engines; each says with what it was called."""
    for name, is_at_work in at_work.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\n[ "$1" = info ] && exit {0 if is_at_work else 1}\necho "{name} $@"\n')
        program.chmod(0o755)
    for name in ("sh", "sed", "dirname"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    return {**os.environ, "PATH": str(folder)}


def build(folder: Path, at_work: Mapping[str, bool], **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script that builds."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / "docker" / "build"), "--build-arg", "WAREHOUSE=bigquery"],
        env={**engines(folder, at_work), **more}, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("at_work", "named", "taken"),
    [
        ({"docker": True, "buildah": True}, {}, "docker"),
        ({"docker": False, "buildah": True}, {}, "buildah"),
        ({"podman": True}, {}, "podman"),
        ({"docker": True, "buildah": True}, {"ENGINE": "buildah"}, "buildah"),
    ],
)
def test_the_engine_that_is_at_work_builds(
    tmp_path: Path, at_work: Mapping[str, bool], named: Mapping[str, str], taken: str
) -> None:
    """A client without its daemon is passed over; the image is called after the version."""
    done = build(tmp_path, at_work, **named)
    assert done.returncode == 0, done.stderr
    version = PROJECT["project"]["version"]
    assert f"{taken} build --file docker/Dockerfile --tag nexus:{version} " in done.stdout
    assert "--build-arg WAREHOUSE=bigquery ." in done.stdout


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    """In one line, with code 1."""
    done = build(tmp_path, {"docker": False})
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
