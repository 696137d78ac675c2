"""The command line."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from demo_producer import journey
from demo_producer.cli import main
from schemas.records import parse_record


def test_a_file_is_written(tmp_path: Path) -> None:
    """The command writes as many lines as were asked for, and the same ones again for the same seed."""
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        assert (
            main(["--count", "300", "--seed", "4", "--faults", "all", "--timestamps", "--to", str(path)]) == 0
        )
    lines = paths[0].read_bytes().splitlines()
    assert len(lines) == 300
    assert all(parse_record(line).ingested_at_ms for line in lines)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_journey_is_written(tmp_path: Path) -> None:
    """With `--journey` the file has its records, and with `--timestamps` when each came in."""
    path, start = tmp_path / "journey.jsonl", "2026-02-01T08:00:00Z"
    assert main(["--journey", "--seed", "4", "--start", start, "--timestamps", "--to", str(path)]) == 0
    lines = [parse_record(line) for line in path.read_bytes().splitlines()]
    told = journey(4, datetime.fromisoformat(start))
    assert [(each.value, each.headers, each.ingested_at_ms) for each in lines] == [
        (each.value, each.headers, each.ingested_at_ms) for each in told
    ]


def test_devices_are_shared_if_asked(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With `--shared` different customers sign in on a kiosk, without it nobody does."""
    assert main(["--count", "1000", "--format", "segment", "--shared", "--to", "-"]) == 0
    assert capfdbinary.readouterr().out.count(b'"anonymousId":"kiosk-') > 3
    assert main(["--count", "1000", "--format", "segment", "--to", "-"]) == 0
    assert b"kiosk-" not in capfdbinary.readouterr().out


def test_one_format_is_written_plainly(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """With `--format` standard output has payloads, not record lines."""
    assert main(["--count", "5", "--format", "stripe", "--to", "-"]) == 0
    assert capfdbinary.readouterr().out.count(b'{"id":"evt_') == 5


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--to", "-", "--kafka", "localhost:9092"],
        ["--to", "-", "--count", "many"],
        ["--to", "-", "--count", "-1"],
        ["--to", "-", "--no-such-option"],
        ["--to", "-", "--faults", "rain"],
        ["--to", "-", "--profile", "boom"],
        ["--to", "-", "--customers", "0"],
        ["--to", "-", "--rate", "0"],
        ["--to", "-", "--rate", "nan"],
        ["--to", "-", "--start", "yesterday"],
        ["--to", "-", "--start", "2026-01-05"],
        ["--to", "-", "--format", "segment", "--timestamps"],
        ["--to", "-", "--journey", "--count", "10"],
        ["--to", "-", "--journey", "--faults", "all"],
        ["--to", "-", "--journey", "--format", "stripe"],
        ["--kafka", "localhost:9092", "--journey", "--topics", "segment=a,stripe=b"],
        ["--to", "/no/such/folder/file"],
        ["--kafka", "localhost:9092", "--timestamps"],
        ["--kafka", "localhost:9092", "--topics", "segment=a"],
        ["--kafka", "localhost:9092", "--partitions", "0"],
        ["--kafka", "localhost:9092", "--kafka-option", "acks"],
        ["--kafka", "localhost:9092", "--kafka-option", "no.such.option=1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is wrong with the arguments, one line says so."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("demo_producer: ")


def test_an_unreachable_broker_is_one_line_and_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that could not be sent make the command fail."""
    monkeypatch.setattr("demo_producer.kafka.ANSWER_S", 0.3)
    assert main(["--kafka", "127.0.0.1:9"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_reader_may_leave() -> None:
    """A reader such as `head` that has seen enough is no failure, and nothing is said."""
    command = [sys.executable, "-m", "demo_producer", "--count", "20000", "--to", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` ends with commands that can be copied."""
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "python -m demo_producer --count" in capsys.readouterr().out
