"""The command line. Exit code 0, 1 (something is wrong) or 2 (wrong usage or settings, in one line)."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from flows.progress import progress
from flows.settings import Settings, load
from schemas.errors import NexusError, SettingsError
from schemas.identifiers import ENTITY_TYPES, EntityType

if TYPE_CHECKING:
    from flows.client import Nexus
    from flows.replay import Report

Command = TypeVar("Command", bound=Callable[..., Any])

log = logging.getLogger("nexus")

_NUMBERS = re.compile(r"[0-9]+")
_COMMON = (
    click.option(
        "--config", type=click.Path(path_type=Path), help="Settings file. Default: nexus.yaml, if there."
    ),
    click.option("--data", type=click.Path(path_type=Path), help="Data folder of the embedded parts."),
    click.option("--namespace", help="Whose graph. Default: default."),
)


def common(command: Command) -> Command:
    """The options that every command has."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


def as_json(command: Command) -> Command:
    """`--json`, for commands that a program may read."""
    return click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")(command)


def say(text: str = "") -> None:
    """A line for people, beside the results."""
    click.echo(text, err=True)


def result(value: Any) -> None:
    """A line for a program."""
    sys.stdout.write(_line(value))


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


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
def demo(count: int, seed: int, data: Path) -> None:
    """Watch made-up customers become persons.

    Everything is embedded, needs no settings and takes some seconds. Each run takes a namespace of its
    own in the data folder, and ends with what you can ask next. Settings from a file or the environment
    play no part in it.

    \b
    Examples:
      nexus demo
      nexus demo --count 200000 --seed 7 --data /tmp/nexus-demo
    """
    from flows.demo import run as run_demo

    run_demo(data, count, seed, click.echo)


# run and publish


@nexus.command()
@click.argument("flow", required=False, type=click.Choice(["resolve", "publish"]))
@click.option("--source", default=None, help="`kafka`, a file, or `-`: appended to the input log first.")
@click.option(
    "--as", "format_name", default=None, help="Format of the file's lines: event, segment, stripe, record."
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
    **given: Any,
) -> None:
    """Run the flows: resolve, publish, or both.

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

    settings = _settings(given, workers=workers, redis__ephemeral=ephemeral or None)
    if flow == "publish" and source is not None:
        raise SettingsError(
            "publish reads the outbox and takes no --source: leave it out, or run without `publish`"
        )
    if format_name is not None and source is None:
        raise SettingsError(
            "--as says what the lines of a --source are: name the file, or - for standard input"
        )
    Production(settings, Source.parse(settings, source, format_name, is_import), say).run(
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

    production = Production(_settings(given), None, say)
    if snapshot:
        production.snapshot()
    else:
        production.run("publish", until_end=until_end)


# questions


@nexus.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES))
@click.argument("identifier", metavar="TYPE=VALUE|ID")
@as_json
@common
def lookup(entity_type: EntityType, identifier: str, is_json: bool, **given: Any) -> None:
    """Show whose an identifier is now.

    With all other identifiers of that person or group. The value may be written as people write it:
    Ada@ACME.example finds ada@acme.example. An id does as well, be it a former one. Exit code 1: nobody has
    it, or it is blocked and can be nobody's.

    \b
    Examples:
      nexus lookup person email=ada@acme.example
      nexus lookup group domain=acme.example --json
      nexus lookup person per_0123456789abcdef0123456789abcdef
    """
    from flows.showing import entity_as_json, entity_for_people, nobody_as_json

    identifier_type, equals, value = identifier.partition("=")
    entity_id = None if equals else _id_of(entity_type, identifier)
    blocked = None
    with _client(given) as client:
        if entity_id is None:
            found = client.lookup(entity_type, identifier_type, value)
            blocked = client.blocked(entity_type, identifier_type, value)
        else:
            found = client.entity(entity_id)
    if found is not None:
        _show(is_json, lambda: entity_as_json(found), lambda: entity_for_people(found))
        return
    if is_json:
        result(nobody_as_json(entity_type, blocked))
    if blocked is not None:
        _nobody(f"this {identifier_type} is blocked ({blocked}): it names nobody, whoever sends it")
    _nobody(f"no {entity_type} has this {identifier_type if equals else 'id'}")


def _id_of(entity_type: EntityType, text: str) -> str:
    if not text.startswith({"person": "per_", "group": "grp_"}[entity_type]):
        raise SettingsError(
            f"name the {entity_type} by TYPE=VALUE, as in email=ada@acme.example, or by its id"
        )
    return text


@nexus.command()
@click.argument("entity_id", metavar="ID")
@as_json
@common
def history(entity_id: str, is_json: bool, **given: Any) -> None:
    """Show what an id has been through.

    Its birth, whom it absorbed, and under which id it goes on, each with the event that caused it. An
    id that was ever given out answers for ever, with the entity that holds its identifier now. The
    store remembers the last 20 changes of each id, and says where its memory begins. Exit code 1:
    nobody was ever called by this id.

    \b
    Examples:
      nexus history per_0123456789abcdef0123456789abcdef
      nexus history grp_0123456789abcdef0123456789abcdef --json
    """
    from flows.showing import history_as_json, history_for_people

    with _client(given) as client:
        found = client.history(entity_id)
    if found.now is None:
        if is_json:
            result({"entity_id": entity_id, "now": None})
        _nobody("nobody was ever called by this id")
    _show(is_json, lambda: history_as_json(found), lambda: history_for_people(found))


@nexus.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES))
@click.option("--json", is_flag=True, hidden=True, expose_value=False)  # it is JSON in any case
@common
def export(entity_type: EntityType, **given: Any) -> None:
    """Write every identifier with its entity id.

    One JSON object a line, sorted by type and value. Memory does not grow with the number of
    identifiers: what does not fit is sorted on disk.

    \b
    Examples:
      nexus export person > persons.jsonl
      nexus export group | grep acme
    """
    with _client(given) as client:
        with progress("reading", client.count()) as show:
            rows = iter(client.export(entity_type, show))
            first = next(rows, None)
        with _until_enough():
            if first is not None:
                sys.stdout.write(_line(first._asdict()))
                sys.stdout.writelines(_line(row._asdict()) for row in rows)
            sys.stdout.flush()


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

    settings = _of_something(_settings(given))
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
        Wiring(_of_something(_settings(given))) as parts,
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

    raise click.exceptions.Exit(run_bench(_settings(given), names, scale, is_json, say))


# shared by the commands


def _settings(given: dict[str, Any], **more: Any) -> Settings:
    config = given.pop("config")
    return load(file=config, **given, **more)


def _of_something(settings: Settings) -> Settings:
    """The same settings, if there is something to ask: a question must not make an empty store in a
    mistyped folder.
    """
    if settings.redis.url is not None:
        return settings
    if not (settings.data / "redis").is_dir():
        raise SettingsError(
            f"there is no data in {settings.data}: name the folder with --data, or begin with `nexus run` "
            "or `nexus demo`"
        )
    if settings.source == "log" and not (settings.data / settings.namespace).is_dir():
        known = ", ".join(sorted(path.parent.name for path in settings.data.glob("*/input"))) or "none"
        raise SettingsError(
            f"there is no namespace {settings.namespace} in {settings.data}: name one with "
            f"--namespace (there: {known})"
        )
    return settings


@contextmanager
def _client(given: dict[str, Any]) -> Iterator["Nexus"]:
    from flows.client import Nexus

    with Nexus(_of_something(_settings(given))) as client:
        yield client


@contextmanager
def _until_enough() -> Iterator[None]:
    """Write until the reader has seen enough, such as `| head`, which is no failure."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes
        raise click.exceptions.Exit(0) from None


def _show(is_json: bool, for_program: Callable[[], Any], for_people: Callable[[], Iterator[str]]) -> None:
    if is_json:
        result(for_program())
    else:
        click.echo("\n".join(for_people()))


def _nobody(line: str) -> NoReturn:
    say(f"nexus: {line}")
    raise click.exceptions.Exit(1)
