"""The pace of a stream, and its progress."""

import io

import pytest

from demo_producer import records
from demo_producer.pacing import paced, with_progress


class _Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def read(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_paced_stream_keeps_its_rate() -> None:
    """A hundred records at fifty a second take two seconds, less the last one's wait."""
    clock = _Clock()
    for _ in paced(records(count=100), 50, clock.read, clock.sleep):
        pass
    assert clock.now - 100 == pytest.approx(99 / 50)


def test_a_paced_stream_catches_up() -> None:
    """A reader who stalls for a second is served at once until the stream is on time again."""
    clock = _Clock()
    for number, _ in enumerate(paced(records(count=100), 50, clock.read, clock.sleep)):
        if number == 10:
            clock.now += 1
    assert clock.now - 100 == pytest.approx(99 / 50)


def test_progress_changes_nothing_and_ends_with_the_count() -> None:
    """The records pass through, and the last line names how many there were."""
    terminal = io.StringIO()
    assert list(with_progress(records(count=150), 150, terminal)) == list(records(count=150))
    assert "150 of 150 records" in terminal.getvalue().splitlines()[-1]
