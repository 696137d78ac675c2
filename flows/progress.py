"""How far long work has come: a bar on a terminal, nothing anywhere else.

    with progress("reading", total=len(lines)) as show:
        for done, line in enumerate(lines):
            show(done)

Bars go to standard error, so that what a command says on standard output can be piped while one is shown.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Show = Callable[[int], None]

_EVERY_S = 0.1


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "") -> Iterator[Show]:
    """A bar for `total` pieces of work while the block runs; without a total, a sign of life and a count.

    The function that it gives is told how many are done. It is cheap, and may be called for each piece.
    """
    if not sys.stderr.isatty():
        yield _nowhere
        return
    with _bar(what, total, unit) as show:
        yield show


def _nowhere(done: int) -> None:
    """Nobody looks."""


@contextmanager
def _bar(what: str, total: int | None, unit: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    left = TimeElapsedColumn() if total is None else TimeRemainingColumn()
    columns = (TextColumn("{task.description:>15}"), BarColumn(), TextColumn("{task.fields[count]}"), left)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, count="")
        next_look = 0.0

        def show(done: int) -> None:
            nonlocal next_look
            now = time.monotonic()
            if now >= next_look or done == total:
                next_look = now + _EVERY_S
                bar.update(task, completed=done, count=_count(done, total, unit))

        yield show


def _count(done: int, total: int | None, unit: str) -> str:
    if unit == "bytes":
        return f"{done / 1e6:,.1f} of {total / 1e6:,.1f} MB" if total is not None else f"{done / 1e6:,.1f} MB"
    return f"{done:,} of {total:,}" if total is not None else f"{done:,}"
