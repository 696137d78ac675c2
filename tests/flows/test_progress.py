"""Bars are for people: on a terminal, on standard error, and nowhere else."""

from __future__ import annotations

import io

import pytest

from flows.progress import progress


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def work(pieces: int, total: int | None, unit: str = "") -> None:
    """Do some work that is shown."""
    with progress("working", total, unit) as show:
        for done in range(1, pieces + 1):
            show(done)


def test_where_nobody_looks_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error that is a file or a pipe stays empty."""
    work(1_000, 1_000)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("total", "unit", "shown"),
    [(3, "", "3 of 3"), (None, "", "working"), (3, "bytes", "0.0 of 0.0 MB")],
    ids=["counted", "no end known", "bytes"],
)
def test_a_terminal_sees_how_far_it_is(
    total: int | None, unit: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a total how much of it, without one a sign of life."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    work(3, total, unit)
    assert "working" in terminal.getvalue()
    assert shown in terminal.getvalue()


def test_a_failure_inside_comes_out_as_it_is() -> None:
    """A bar hides no error."""
    with pytest.raises(ZeroDivisionError), progress("working"):
        _ = 1 / 0
