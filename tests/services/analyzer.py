"""Google's own SQL analyzer, which BigQuery is built on: it refuses what BigQuery would refuse."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services.install import environment
from tests.services.server import ServerFailed

PROGRAM = Path(__file__).with_name("googlesql.py")
PATIENCE_S = 400.0  # the first time it compiles itself, half a minute of one core


def refusals(statements: Sequence[str]) -> list[str | None]:
    """Return what is wrong with each statement, in their order, or None; a table that one makes is there for
    the next. One process for all, since it is slow to start and quick to answer. Raises Missing.
    """
    python = environment("zetasql") / "bin" / "python"
    done = subprocess.run(
        [str(python), str(PROGRAM)], input=json.dumps(statements), capture_output=True, text=True,
        timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise ServerFailed(f"the analyzer ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    return list(json.loads(done.stdout))
