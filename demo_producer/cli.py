"""The command line: `python -m demo_producer`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import BinaryIO, NoReturn

from demo_producer.calls import ALL, Format
from demo_producer.faults import USUAL, Faults
from demo_producer.files import plain_line, record_line, write_lines
from demo_producer.journeys import journey
from demo_producer.kafka import KafkaOutput
from demo_producer.pacing import paced, with_progress
from demo_producer.production import BOTH, START, records, without_timestamp
from demo_producer.record import Record
from demo_producer.stories import NEW_LINKS
from schemas.errors import NexusError, SettingsError

_DESCRIPTION = (
    "Made-up customers of a shop, as Segment calls and Stripe webhooks. The same seed gives the same records."
)
_USUAL = ", ".join(f"{name}={share:g}" for name, share in USUAL.items())
_EXAMPLES = f"""faults, each with its usual percentage: {_USUAL}

examples:
  python -m demo_producer --count 10000 --faults all --timestamps --to shop.jsonl
  python -m demo_producer --count 500 --format segment --to - | head
  python -m demo_producer --count 200000 --faults duplicates,late,shuffled,malformed=1 --kafka localhost:9092
  python -m demo_producer --journey --timestamps --to journey.jsonl --settings nexus.yaml
  python -m demo_producer --rate 1000 --count 60000 --profile steady --kafka localhost:9092 --topics shop
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 1 (records were lost) or 2 (wrong usage)."""
    try:
        return _run(_parser().parse_args(arguments))
    except NexusError as error:
        print(f"demo_producer: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    except BrokenPipeError:  # such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python complains when it closes standard output
        return 0
    except KeyboardInterrupt:
        print("demo_producer: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m demo_producer",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_stream(parser.add_argument_group("what is produced"))
    _add_output(parser.add_argument_group("where it goes"))
    return parser


def _add_stream(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--count", type=int, default=10_000, metavar="N", help="records, faults included (10000)"
    )
    group.add_argument("--seed", type=int, default=1, metavar="N", help="another number, other customers (1)")
    group.add_argument("--customers", type=int, metavar="N", help="at most so many (as many as come)")
    group.add_argument(
        "--profile",
        choices=tuple(NEW_LINKS),
        default="story",
        help="new links per hundred records: 35 (story), 5 (steady) or 67 (growth)",
    )
    group.add_argument(
        "--faults", default="none", metavar="LIST", help="such as duplicates,late=3; or all (none)"
    )
    group.add_argument(
        "--journey",
        action="store_true",
        help="instead: fifty customers, five sources",
    )
    group.add_argument(
        "--settings", metavar="FILE", help="with --journey: write its topics and rules, to read it with"
    )
    group.add_argument(
        "--shared", action="store_true", help="a tablet and a kiosk on which different customers sign in"
    )
    group.add_argument(
        "--start", metavar="TIME", help=f"when the 90 days of the stream begin ({START:%Y-%m-%d})"
    )
    group.add_argument(
        "--format",
        choices=("both", "segment", "stripe"),
        default="both",
        help="with --to, one format means plain payloads, one a line, instead of record lines",
    )
    group.add_argument(
        "--timestamps", action="store_true", help="record lines say when they came in, late ones long before"
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    target = group.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", metavar="FILE", help="a file, written anew, or - for standard output")
    target.add_argument("--kafka", metavar="HOST:PORT", help="a broker; missing topics are made")
    group.add_argument(
        "--topics",
        metavar="LIST",
        help="one topic for all formats, or segment=NAME,stripe=NAME (each called as its format)",
    )
    group.add_argument("--partitions", type=int, default=8, metavar="N", help="of topics that are made (8)")
    group.add_argument(
        "--kafka-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any option of librdkafka, such as security.protocol=SSL; may be repeated",
    )
    group.add_argument("--rate", type=float, metavar="R", help="records a second (as fast as it goes)")
    group.add_argument("--quiet", action="store_true", help="no progress on the terminal")


def _run(options: argparse.Namespace) -> int:
    plain = options.format != "both" and options.to is not None
    if options.timestamps and (plain or options.kafka):
        raise SettingsError("--timestamps needs record lines: use it with --to and without --format")
    stream = _stream(options, line_safe=plain)
    if options.partitions < 1:
        raise SettingsError("--partitions must be 1 or more")
    if options.kafka:
        output = KafkaOutput(
            options.kafka,
            _topics(options.topics, ALL if options.journey else BOTH),
            _kafka_options(options.kafka_option),
            options.partitions,
        )
        output.write(stream)
        return 0
    live = options.rate is not None
    write_lines(stream, _opened(options.to), plain_line if plain else record_line, live=live)
    return 0


def _stream(options: argparse.Namespace, *, line_safe: bool) -> Iterator[Record]:
    if options.settings is not None and not options.journey:
        raise SettingsError("--settings is for --journey")
    stream = _journey(options) if options.journey else _lives(options, line_safe=line_safe)
    if options.rate is not None:
        if not options.rate > 0:
            raise SettingsError("--rate must be more than 0")
        stream = paced(stream, options.rate)
    if sys.stderr.isatty() and not options.quiet and options.to != "-":
        stream = with_progress(stream, options.count, sys.stderr)
    return stream


def _journey(options: argparse.Namespace) -> Iterator[Record]:
    defaults = _parser()
    for name in ("count", "customers", "profile", "faults", "shared", "format"):
        if getattr(options, name) != defaults.get_default(name):
            raise SettingsError(f"--{name} is not for --journey, which is one story")
    if options.settings is not None:
        _write_settings(Path(options.settings))
    found = journey(options.seed, _start(options.start))
    options.count = len(found)
    return iter(found if options.timestamps else map(without_timestamp, found))


def _write_settings(path: Path) -> None:
    text = (resources.files("demo_producer") / "journey.yaml").read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError(f"there is a file {path}: name another one for the settings") from None
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}") from None


def _lives(options: argparse.Namespace, *, line_safe: bool) -> Iterator[Record]:
    return records(
        seed=options.seed,
        count=options.count,
        customers=options.customers,
        faults=Faults.parse(options.faults),
        start=_start(options.start),
        profile=options.profile,
        timestamps=options.timestamps,
        formats=BOTH if options.format == "both" else frozenset({options.format}),
        line_safe=line_safe,
        shared=options.shared,
    )


def _start(text: str | None) -> datetime:
    try:
        return START if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError("--start must be a time with a zone, such as 2026-01-05T08:00:00Z") from None


def _topics(text: str | None, formats: frozenset[Format]) -> dict[Format, str]:
    if text is None:
        return {each: each for each in formats}
    if "=" not in text and "," not in text and text:
        return dict.fromkeys(formats, text)
    named = _pairs("--topics", text.split(","))
    if named.keys() != formats:
        pairs = ",".join(f"{each}=NAME" for each in sorted(formats))
        raise SettingsError(f"--topics must be one name, or {pairs}")
    return {each: named[each] for each in formats}


def _kafka_options(parts: Sequence[str]) -> dict[str, str]:
    return _pairs("--kafka-option", parts)


def _pairs(option: str, parts: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise SettingsError(f"{option} must be NAME=VALUE")
        pairs[name.strip()] = value
    return pairs


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return os.fdopen(os.dup(1), "wb")
    try:
        return Path(name).open("wb")
    except OSError as error:
        raise SettingsError(f"--to {name}: {error.strerror}") from error
