"""The command line. Exit code 0, 1 (something is wrong) or 2 (wrong usage or settings, in one line)."""

import logging
import os
import re
import sys
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from flows.cli_notifications import notifications_group
from flows.cli_operator import OPERATOR_COMMANDS
from flows.cli_questions import QUESTIONS
from flows.cli_rules import rules_group
from flows.cli_warehouse import WAREHOUSE_COMMANDS
from flows.command import alive, as_json, common, of_something, result, say, settings_of
from flows.progress import progress
from schemas.errors import NexusError, SettingsError

if TYPE_CHECKING:
    from flows.replay import Report

log = logging.getLogger("nexus")

_NUMBERS = re.compile(r"[0-9]+")


class _Screen(logging.Handler):
    """Log lines on standard error as it is now: while a progress bar is shown, above the bar.

    Clients say the same many times a second while a server is away: what differs only in its numbers is
    shown every ten seconds. Tracebacks are for `--verbose`.
    """

    _AGAIN_S = 10.0

    def __init__(self, verbose: bool) -> None:
        super().__init__()
        self._verbose = verbose
        self._shown: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        if not self._verbose:
            record = copy(record)
            record.exc_info = record.exc_text = None
        line = self.format(record)
        if self._verbose or not self._is_repeated(record):
            say(line)

    def _is_repeated(self, record: logging.LogRecord) -> bool:
        said = _NUMBERS.sub("", record.getMessage())
        last, self._shown[said] = self._shown.get(said), record.created
        if last is None or record.created - last > self._AGAIN_S:
            return False
        self._shown[said] = last
        return True


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    invoke_without_command=True,
)
@click.version_option(package_name="nexus-resolver", prog_name="nexus")
@click.option("--verbose", "-v", is_flag=True, help="Say more about what happens.")
@click.pass_context
def nexus(context: click.Context, verbose: bool) -> None:
    """Turn a stream of customer events into persons and groups, exactly once, while the events happen.

    \b
    Try it:     nexus demo
    Run it:     nexus run --source calls.jsonl --as segment --until-end
    Ask it:     nexus lookup person email=ada@acme.example
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[_Screen(verbose)],
    )
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """The entry point: every error is one line and an exit code."""
    try:
        code = nexus(prog_name="nexus", standalone_mode=False)  # click hands the code of an Exit back
        sys.stdout.flush()
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        _end(f"{error.format_message().rstrip('.')}{hint}", 2)
    except click.Abort:
        _end("stopped", 130)
    except SettingsError as error:
        _end(str(error), 2)
    except NexusError as error:
        _end(str(error), 1)
    except Exception as error:
        log.info("the fault in full", exc_info=error)
        _end(f"a fault of Nexus itself: {type(error).__name__} (`nexus --verbose …` shows where)", 1)
    sys.exit(code)


def _end(line: str, code: int) -> NoReturn:
    say(f"nexus: {' '.join(line.split())}")
    sys.exit(code)


# the demo


@nexus.command()
@click.option(
    "--count", type=click.IntRange(1, 100_000_000), default=20_000, show_default=True, help="How many events."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another number, other customers.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("nexus-data"),
    show_default=True,
    help="Folder that everything is kept in.",
)
@click.option(
    "--journey", is_flag=True, help="Fifty customers, five sources, their states, and a webhook that is told."
)
@click.pass_context
def demo(context: click.Context, count: int, seed: int, data: Path, journey: bool) -> None:
    """Watch made-up customers become persons.

    Everything is embedded, needs no settings and takes some seconds. Each run takes a namespace of its
    own in the data folder, and ends with what you can ask next. Settings from a file or the environment
    play no part in it.

    \b
    Examples:
      nexus demo
      nexus demo --count 200000 --seed 7 --data /tmp/nexus-demo
      nexus demo --journey
    """
    if journey:
        from flows.demo_journey import run as run_journey

        if context.get_parameter_source("count") is not ParameterSource.DEFAULT:
            raise SettingsError("the journey is as long as it is: leave out --count, or --journey")
        return run_journey(data.resolve(), seed, click.echo)
    from flows.demo import run as run_demo

    return run_demo(data, count, seed, click.echo)


# run and publish


@nexus.command()
@click.argument("flow", required=False, type=click.Choice(["resolve", "publish", "notify", "archive"]))
@click.option("--source", default=None, help="`kafka`, a file, or `-`: appended to the input log first.")
@click.option(
    "--as",
    "format_name",
    default=None,
    help="Format of the file's lines: event, segment, stripe, gmail, google_calendar, shopify, record.",
)
@click.option(
    "--import", "is_import", is_flag=True, help="Lines count as of when their event occurred, not as of now."
)
@click.option("--until-end", is_flag=True, help="Stop when the input, as it is at the start, is worked off.")
@click.option("--workers", type=click.IntRange(1, 64), help="Worker threads of the resolve flow.")
@click.option(
    "--from-beginning", is_flag=True, help="Read again from the start what an emptied Redis has forgotten."
)
@click.option("--ephemeral", is_flag=True, help="A trial: accept a Redis without an append-only file.")
@alive
@common
def run(
    flow: str | None,
    source: str | None,
    format_name: str | None,
    is_import: bool,
    until_end: bool,
    workers: int | None,
    from_beginning: bool,
    ephemeral: bool,
    alive: Path | None,
    **given: Any,
) -> None:
    """Run the flows: resolve, publish, notify, archive, or all of them.

    Without settings everything is embedded: a private redis-server, and logs in the data folder. With
    `kafka.bootstrap.servers` and `redis.url` set it reads and writes topics. Any number of processes
    may run at once; SIGTERM and SIGINT finish the batch in hand, say what was done, and end with code
    0.

    \b
    Examples:
      nexus run --source calls.jsonl --as segment --until-end
      producer | nexus run --source - --as event
      nexus run resolve --workers 4 --config production.yaml
    """
    from flows.production import Production, Source

    settings = settings_of(given, workers=workers, redis__ephemeral=ephemeral or None)
    if flow in ("publish", "notify", "archive") and source is not None:
        raise SettingsError(
            f"{flow} reads no input and takes no --source: leave it out, or run without `{flow}`"
        )
    if format_name is not None and source is None:
        raise SettingsError(
            "--as says what the lines of a --source are: name the file, or - for standard input"
        )
    Production(settings, Source.parse(settings, source, format_name, is_import), say, alive).run(
        flow, until_end=until_end, from_beginning=from_beginning
    )


@nexus.command()
@click.option("--snapshot", is_flag=True, help="Send the whole answer anew, then end.")
@click.option("--until-end", is_flag=True, help="Stop when the outbox is empty.")
@common
def publish(snapshot: bool, until_end: bool, **given: Any) -> None:
    """Publish what waits, or the whole answer anew.

    Without --snapshot this is `nexus run publish`; with it, the whole answer goes out for consumers who
    lost theirs. A publisher that runs already does the snapshot between its transitions; this command
    waits for it.

    \b
    Examples:
      nexus publish --snapshot
      nexus publish --until-end
    """
    from flows.production import Production

    production = Production(settings_of(given), None, say)
    if snapshot:
        production.snapshot()
    else:
        production.run("publish", until_end=until_end)


# questions


for _command in QUESTIONS:
    nexus.add_command(_command)
nexus.add_command(notifications_group)


@nexus.command()
@as_json
@common
def check(is_json: bool, **given: Any) -> None:
    """Check settings, connections and the whole store.

    Exit code 1 when something is wrong, be it one invariant of the store. It reads the whole store:
    seconds for a million identifiers. The stream may run meanwhile.

    \b
    Examples:
      nexus check
      nexus check --json | jq 'select(.verdict != "ok")'
    """
    from flows.checking import checks

    settings = of_something(settings_of(given))
    is_wrong = False
    for one in checks(settings):
        is_wrong |= one.verdict == "wrong"
        if is_json:
            result({"check": one.name, "verdict": one.verdict, "detail": one.detail})
        else:
            click.echo(f"{one.verdict:>7}  {one.name}: {one.detail}")
    raise click.exceptions.Exit(1 if is_wrong else 0)


# dead letters


@nexus.command("replay-dlq")
@click.option("--dry-run", "is_dry", is_flag=True, help="Say what would be replayed; move nothing.")
@click.option("--reason", "reasons", multiple=True, help="Only dead letters of this reason; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the oldest first.")
@click.option("--as", "format_name", help="Read them as this format, whatever they were sent as.")
@as_json
@common
def replay_dlq(
    is_dry: bool,
    reasons: tuple[str, ...],
    limit: int | None,
    format_name: str | None,
    is_json: bool,
    **given: Any,
) -> None:
    """Put dead letters back into the input.

    Untouched, and as of the instant when they first came. For after a fix: a format that was set
    wrongly, a mapping that was corrected, a limit that was raised. What was replayed is not replayed
    again; what --reason or --limit leaves out can be replayed later; what is still bad becomes a new
    dead letter. `nexus run` resolves them as it does everything in the input.

    \b
    Examples:
      nexus replay-dlq --dry-run
      nexus replay-dlq --reason unknown-format
      nexus replay-dlq --reason schema --limit 10 --as segment
    """
    from flows.replay import Choice, Replay
    from flows.stopping import Crash
    from flows.wiring import Wiring
    from schemas.sources import FORMATS

    if format_name is not None and format_name not in FORMATS:
        raise SettingsError(f"--as must be one of {', '.join(FORMATS)}")
    crash = Crash(os.environ.get("NEXUS_TEST_CRASH_AT"))
    with (
        Wiring(of_something(settings_of(given))) as parts,
        Replay(parts, crash) as replay,
        progress("dead letters") as show,
    ):
        report = replay.run(Choice(reasons, limit, format_name), is_dry=is_dry, show=show)
    _tell_replay(report, is_dry, is_json)
    raise click.exceptions.Exit(1 if report.refused else 0)


def _tell_replay(report: "Report", is_dry: bool, is_json: bool) -> None:
    from flows.showing import replay_as_json, replay_for_people

    if is_json:
        for one in replay_as_json(report, is_dry):
            result(one)
    else:
        click.echo("\n".join(replay_for_people(report, is_dry)))
    if report.refused:
        say(f"nexus: {sum(report.refused.values()):,} were not taken and are left: {report.why_refused}")


# operators

for _command in OPERATOR_COMMANDS:
    nexus.add_command(_command)
nexus.add_command(rules_group)
for _command in WAREHOUSE_COMMANDS:
    nexus.add_command(_command)


# measuring


@nexus.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Of the amount of work: 0.1 for a first look, 10 for figures to rely on.",
)
@as_json
@common
def bench(names: tuple[str, ...], scale: float, is_json: bool, **given: Any) -> None:
    """Measure speed, delay and memory, as ratios.

    All in one run on this machine. Exit code 1: a budget is missed.

    docs/performance.md says what each benchmark does and what it gave. Without names all of them are run.

    \b
    Examples:
      nexus bench
      nexus bench --scale 0.1 --json
    """
    from flows.bench import run as run_bench

    raise click.exceptions.Exit(run_bench(settings_of(given), names, scale, is_json, say))
