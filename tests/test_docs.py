"""The documentation is true: its commands exist, its blocks run, its links lead somewhere.

A fenced block whose first line is "```sh runnable" is run as it stands, embedded, in an empty folder. The
runnable blocks of one page run in their order in the same folder, as a reader pastes them.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, SecretStr

from flows.settings import Settings
from schemas.rules import Rules

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|`|\$\()nexus ([a-z][a-z-]*)", re.MULTILINE)
BLOCK_SECONDS = 60
STOP_SECONDS = 10


def blocks(page: Path, info: str) -> list[str]:
    """Return the bodies of a page's fenced blocks of one kind."""
    return [fence["body"] for fence in FENCE.finditer(page.read_text()) if fence["info"].strip() == info]


def runnable() -> list[Path]:
    """Return the pages that have something to run."""
    return [page for page in PAGES if blocks(page, "sh runnable")]


def mentioned() -> list[str]:
    """Return the nexus commands that the documentation names as code."""
    return sorted({name for page in PAGES for name in COMMAND.findall(page.read_text())})


def a_readers_shell(home: Path) -> dict[str, str]:
    """Return an environment in which `nexus` is on the PATH and nothing is configured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NEXUS_", "XDG_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "HOME": str(home)}


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a reader would; a command that fails, or takes too long, ends it."""
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=a_readers_shell(folder), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)  # the commands too, which then stop their private Redis
            time.sleep(STOP_SECONDS)
            with contextlib.suppress(ProcessLookupError):  # all gone already
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(script, process.returncode, out, err)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", runnable(), ids=lambda page: page.name)
def test_what_a_reader_pastes_works(page: Path, tmp_path: Path) -> None:
    """The runnable blocks of the page, one after the other in an empty folder, all end with code 0."""
    for script in blocks(page, "sh runnable"):
        done = shell(script, tmp_path)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("command", mentioned())
def test_every_command_that_is_named_exists(command: str, tmp_path: Path) -> None:
    """`nexus COMMAND --help` explains what the documentation names."""
    done = shell(f"nexus {command} --help", tmp_path)
    assert done.returncode == 0, done.stderr


def test_every_command_is_documented(tmp_path: Path) -> None:
    """The README names each command that `nexus --help` lists."""
    listed = shell("nexus --help", tmp_path).stdout.partition("Commands:")[2]
    names = re.findall(r"^ {2}([a-z][a-z-]*)", listed, re.MULTILINE)
    assert names
    assert [name for name in names if f"nexus {name}" not in PAGES[0].read_text()] == []


def test_the_readme_begins_with_the_demo() -> None:
    """The first command that the README shows is `make demo`, the second `make test`."""
    shown = re.findall(
        r"^(?:make|nexus|git|pip|python)\b.*$", "\n".join(blocks(PAGES[0], "sh")), re.MULTILINE
    )
    assert [line.partition("#")[0].strip() for line in shown[:2]] == ["make demo", "make test"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_recipe_that_is_named_exists(page: Path) -> None:
    """Each `make RECIPE` in the documentation is a recipe of the Makefile."""
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
    assert named <= recipes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Each relative link of the page names a file of this repository."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_make_begins_with_help() -> None:
    """`make` without a recipe lists every recipe with what it does."""
    done = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    phony = re.findall(r"^\.PHONY: ([a-z-]+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^make ([a-z-]+) ", done.stdout, re.MULTILINE) == phony


# settings


def settings(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the path of every setting with its default."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel):
            yield from settings(type(default), (*path, name))
        else:
            yield (*path, name), default


def as_written(default: Any) -> str:
    """Give a default as the table has it."""
    match default:
        case Rules():
            return "the built-in ones"
        case None | SecretStr():
            return "none"
        case bool():
            return f"`{str(default).lower()}`"
        case dict():
            return (
                "`" + ",".join(f"{key}={value}" for key, value in default.items()) + "`"
                if default
                else "none"
            )
    return f"`{default}`"


def test_every_setting_is_documented_with_its_default() -> None:
    """docs/settings.md has a row for each setting and none besides, with variable and true default."""
    rows = re.findall(
        r"^\| `([a-z._]+)` \| (?:`(NEXUS_[A-Z_]+?)(?:__…)?`|file only) \| ([^|]+) \|",
        (ROOT / "docs/settings.md").read_text(),
        re.MULTILINE,
    )
    written = {name: (variable, default.strip()) for name, variable, default in rows}
    expected = {
        ".".join(path): (
            "" if path == ("rules",) else "NEXUS_" + "__".join(path).upper(),
            as_written(default),
        )
        for path, default in settings()
    }
    assert written == expected


def test_what_is_not_yours_to_set_is_documented() -> None:
    """Each option that is refused is in docs/settings.md."""
    from flows.settings import _OURS

    page = (ROOT / "docs/settings.md").read_text()
    assert [name for name in _OURS if f"`{name}`" not in page] == []


# refusals


def sentences() -> list[str]:
    """Give every text in the code, with … where a value is put in, and each split text in one piece."""
    found = []
    for package in ("flows", "resolver", "sinks", "schemas"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_what_operating_quotes_is_what_nexus_says() -> None:
    """The first column of the refusals in docs/operating.md is in a text of the code, word for word."""
    chapter = (ROOT / "docs/operating.md").read_text().partition("## It refuses to start")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", chapter, re.MULTILINE)
    said = sentences()
    assert len(quoted) >= 15
    assert [words for words in quoted if not any(words in sentence for sentence in said)] == []


# examples


def test_every_example_is_json() -> None:
    """What the pages show as JSON can be parsed."""
    for page in PAGES:
        for example in blocks(page, "json"):
            json.loads(example)


def test_the_transition_that_is_shown_is_one() -> None:
    """The example in docs/consuming.md is a transition that Nexus could have sent."""
    from schemas.transitions import from_json

    (example,) = blocks(ROOT / "docs/consuming.md", "json")
    assert from_json(example.encode()).transition == "entities_merged"


def test_every_kind_of_transition_is_told() -> None:
    """The tables of docs/consuming.md name each kind that may be published, and no other."""
    from schemas.transitions import Change, Snapshot

    kinds = {kind.model_fields["transition"].default for kind in (*get_args(Change), *get_args(Snapshot))}
    told = re.findall(
        r"^\| `([a-z]+_[a-z_]+|redacted)` \|", (ROOT / "docs/consuming.md").read_text(), re.MULTILINE
    )
    assert set(told) == kinds
