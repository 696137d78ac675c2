"""Write constraints/*.txt: the newest version of all that pyproject.toml asks for, with hashes.

runtime.txt is what a production machine installs; bigquery.txt and snowflake.txt each add a client to it,
build.txt what makes the wheel, develop.txt what tests and checks it; together they are one resolution. What
the tests run in an environment of its own, a dependency group, is a resolution by itself. The hashes are of
the wheels for every Python and platform below, so that pip refuses any other file. Run it by `make
constraints`, with the oldest Python that is supported: that one needs the most backports.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "constraints"
PYTHONS = ("3.11", "3.12")
PLATFORMS = {
    "linux x86_64": [f"manylinux_2_{minor}_x86_64" for minor in (31, 28, 17)] + ["manylinux2014_x86_64"],
    "linux aarch64": [f"manylinux_2_{minor}_aarch64" for minor in (31, 28, 17)] + ["manylinux2014_aarch64"],
    "macos arm64": [f"macosx_{major}_0_arm64" for major in (14, 13, 12, 11)],
}
# What redis-py asks for on Pythons below 3.11.3 only: pip on a newer one does not resolve it.
BACKPORTS = {"async-timeout>=4.0.3": "python_full_version < '3.11.3'"}

Pins = dict[str, str]  # name -> version


def main() -> None:
    """Resolve, collect the hashes, write the files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = [*project["project"]["dependencies"], *BACKPORTS]
    build = project["build-system"]["requires"]
    extras = project["project"]["optional-dependencies"]
    everything = resolve([*runtime, *build, *(line for extra in extras.values() for line in extra)])
    markers = {name_of(line): line.partition(";")[2].strip() for line in runtime if ";" in line}
    markers |= {name_of(backport): marker for backport, marker in BACKPORTS.items()}
    hashes = collect_hashes(everything, markers)
    written: set[str] = set()
    for title, requirements in {"runtime": runtime, "build": build, **extras}.items():
        names = set(resolve(requirements, everything)) - written
        write(title, {name: everything[name] for name in sorted(names)}, markers, hashes)
        written |= names if title in ("runtime", "build") else set()
    for title, lines in project["dependency-groups"].items():
        alone = resolve(lines)
        write(title, alone, {}, collect_hashes(alone, {}))


def name_of(requirement: str) -> str:
    """Return the normalised name at the start of a requirement."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return normalised(match[0])


def normalised(name: str) -> str:
    """Return the one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(requirements: Iterable[str], pins: Pins | None = None) -> Pins:
    """Let pip choose versions, within the pins."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(f"{name}=={version}" for name, version in (pins or {}).items()))
        constraints.flush()
        report = pip(["--ignore-installed", "-c", constraints.name, *requirements])
    return {normalised(item["metadata"]["name"]): item["metadata"]["version"] for item in report}


def collect_hashes(pins: Pins, markers: dict[str, str]) -> dict[str, set[str]]:
    """Ask pip for the wheel that each Python on each platform would get."""
    hashes: dict[str, set[str]] = defaultdict(set)
    for platform, tags in PLATFORMS.items():
        wanted = [f"{name}=={pins[name]}" for name in pins if fits(platform, markers.get(name, ""))]
        for python in PYTHONS:
            flags = [word for tag in tags for word in ("--platform", tag)]
            options = ["--no-deps", "--target", "unused", "--python-version", python, *flags]
            for item in pip([*options, *wanted]):
                sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
                hashes[normalised(item["metadata"]["name"])].add(sha256)
    return hashes


def fits(platform: str, marker: str) -> bool:
    """Evaluate the markers that occur: equalities of the system and the machine, joined by `and`."""
    system, machine = platform.split()
    facts = {"sys_platform": {"linux": "linux", "macos": "darwin"}[system], "platform_machine": machine}
    tests = re.findall(r"(\w+) == '(\w+)'", marker)
    return all(facts[name] == value for name, value in tests)


def write(title: str, pins: Pins, markers: dict[str, str], hashes: dict[str, set[str]]) -> None:
    """Write one file in the format of `pip install --require-hashes -r`."""
    lines = ["# Written by `make constraints`; do not edit."]
    for name, version in pins.items():
        marker = f" ; {markers[name]}" if name in markers else ""
        digests = [f"--hash=sha256:{digest}" for digest in sorted(hashes[name])]
        lines.append(" \\\n    ".join([f"{name}=={version}{marker}", *digests]))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{title}.txt").write_text("\n".join(lines) + "\n")


def pip(arguments: Sequence[str]) -> list[Any]:
    """Return the `install` list of pip's report: what it would install, and from which file."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--report", "-", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(done.stderr)
    return list(json.loads(done.stdout)["install"])


if __name__ == "__main__":
    main()
