"""The rules of the house that no checker knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NAME = "nexus-resolver"
PACKAGES = ("schemas", "resolver", "sinks", "demo_producer", "flows")
OURS = [path for name in (*PACKAGES, "tests", ".ci") for path in sorted((ROOT / name).rglob("*.py"))]

# Imports every module and stops at the first thing that an import must not do.
IMPORT_ALL = """
import importlib, os, pkgutil, sys
# what the libraries do when they are imported is their own affair
import bytewax.run, bytewax.operators, click, confluent_kafka.admin, hiredis, idna, phonenumbers
import publicsuffixlist, pydantic, redis, rich.progress, rich.table, yaml
FORBIDDEN = {"socket.connect", "socket.bind", "subprocess.Popen", "os.putenv", "os.system", "os.mkdir"}
def watch(event, arguments):
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event in FORBIDDEN or writes:
        raise SystemExit(f"an import does {event} {arguments}")
sys.addaudithook(watch)
for package in sys.argv[1:]:
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


@pytest.mark.parametrize(
    "path", [path for path in OURS if path.name.startswith("test_")], ids=lambda p: p.stem
)
def test_every_test_states_a_fact(path: Path) -> None:
    """Each test function has a docstring."""
    nodes = ast.walk(ast.parse(path.read_text()))
    tests = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert [node.name for node in tests if not ast.get_docstring(node)] == []


def test_every_test_folder_is_a_package() -> None:
    """Without `__init__.py`, tests/resolver would stand in the way of the package resolver."""
    folders = {path.parent for path in OURS if ROOT / "tests" in path.parents}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_every_exception_to_a_rule_carries_its_reason() -> None:
    """Where a checker is told to look away, the same line says why."""
    exception = re.compile(r"#\s*(noqa|type: ignore|pragma)\b(?!.*\s(--?|#|–)\s+\w+)")
    lines = (
        (path, line) for path in OURS if path != Path(__file__) for line in path.read_text().splitlines()
    )
    assert [
        f"{path.relative_to(ROOT)}: {line.strip()}" for path, line in lines if exception.search(line)
    ] == []


def test_nothing_happens_at_import() -> None:
    """No module connects, starts, writes or changes anything when it is imported."""
    command = [sys.executable, "-B", "-c", IMPORT_ALL, *PACKAGES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_every_requirement_is_pinned_with_hashes() -> None:
    """What pyproject.toml asks for is in the constraints: a version that it allows, with sha256 sums."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    ours = {
        "runtime": project["project"]["dependencies"],
        "build": project["build-system"]["requires"],
        **project["project"]["optional-dependencies"],
    }
    together = {name: version for title in ours for name, version in pinned(title).items()}
    for title, lines in {**ours, **project["dependency-groups"]}.items():
        pins = together if title in ours else pinned(title)
        for requirement in map(Requirement, lines):
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, (title, requirement)


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and install it into a folder of its own, away from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for step in (
        ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        ["install", "--no-deps", "--no-index", "-f", str(folder), "--target", str(folder / "site"), NAME],
    ):
        done = subprocess.run([*pip, *step], capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
    return folder / "site"


def test_the_wheel_holds_all_that_the_packages_hold(installed_wheel: Path) -> None:
    """Lua, JSON Schemas and bundled lists are in the wheel beside the code."""
    files = [
        path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()
    ]
    ours = [path for path in files if "__pycache__" not in path.parts]
    assert [str(path) for path in ours if not (installed_wheel / path).exists()] == []


def test_the_wheel_works_away_from_the_working_tree(installed_wheel: Path) -> None:
    """The command starts from the wheel, and it is the wheel's code that runs."""
    script = "import schemas, flows.cli; print(schemas.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=installed_wheel, env={"PYTHONPATH": str(installed_wheel)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.startswith(str(installed_wheel)), done.stderr


def pinned(title: str) -> dict[str, str]:
    """Read one constraints file: name -> version. Each entry must have a hash."""
    text = (ROOT / "constraints" / f"{title}.txt").read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if not line.startswith("#")]
    assert all("--hash=sha256:" in entry for entry in entries)
    return dict(entry.split()[0].split("==") for entry in entries)
