"""The command line as somebody at a terminal has it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest

from flows.cli import main
from schemas.events import FORMAT_HEADER
from schemas.records import encode_record

ROOT = Path(__file__).resolve().parent.parent.parent
SECONDS = 100
QUESTIONS = {"lookup", "why", "history", "timeline", "export", "quarantine", "operations"}


def environment(settings: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
    """Give an environment in which nothing is configured but these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **settings}


def command(*arguments: str) -> list[str]:
    """Give the command line of `nexus` with these arguments."""
    return [sys.executable, "-m", "flows", *arguments]


def nexus(
    folder: Path,
    *arguments: str,
    settings: Mapping[str, str] = MappingProxyType({}),
    stdin: bytes = b"",
    code: int | None = 0,
) -> subprocess.CompletedProcess[str]:
    """Run `nexus` in a folder; it must end with this code (None: any), and never shows a traceback.

    Questions are asked in this process: one of their own costs a second for each.
    """
    is_question = arguments[0] in QUESTIONS
    done = (
        typed(folder, *arguments, settings=settings)
        if is_question
        else _run(folder, arguments, settings, stdin)
    )
    assert "Traceback" not in done.stderr, done.stderr
    is_right = code is None or done.returncode == code
    assert is_right, f"code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def _run(
    folder: Path, arguments: Sequence[str], settings: Mapping[str, str], stdin: bytes
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment(settings), input=stdin,
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    out, err = done.stdout.decode(), done.stderr.decode()
    return subprocess.CompletedProcess(arguments, done.returncode, out, err)


def typed(
    folder: Path, *arguments: str, settings: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[str]:
    """Run `nexus` in this process: quick, for many small questions that need none of their own."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, environment(settings), clear=True),
        mock.patch("sys.argv", ["nexus", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def answers(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Give what a command with --json said, a value a line."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def call(message_id: str, /, **fields: object) -> bytes:
    """Give a Segment identify call."""
    common = {"type": "identify", "messageId": message_id, "timestamp": "2026-01-05T10:00:00Z"}
    return json.dumps({**common, **fields}).encode()


def write_lines(path: Path, lines: Sequence[bytes]) -> str:
    """Write lines into a file and give its name."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def record(value: bytes | None, ingested_at_ms: int, format_name: str = "segment") -> bytes:
    """Give a record line of a format."""
    return encode_record(
        value, ingested_at_ms=ingested_at_ms, headers=[(FORMAT_HEADER, format_name.encode())]
    )


def commands(story: str) -> list[list[str]]:
    """Give the arguments of the commands that a demo's story ends with."""
    lines = story.partition("Now you")[2].splitlines()
    return [shlex.split(line.split("flows", 1)[-1].split("nexus ", 1)[-1]) for line in lines if " --" in line]


@contextlib.contextmanager
def interrupted(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that gets SIGINT after the block: it ends well, and its last line says that it was stopped."""
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        except BaseException:
            process.kill()
            raise
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1].startswith("Stopped after")
