"""The command line. Exit code 0, 1 (something is wrong) or 2 (wrong usage or settings, one line that says what to do)."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from flows.settings import Settings, load
from schemas.errors import NexusError, SettingsError
from schemas.identifiers import ENTITY_TYPES, EntityType

if TYPE_CHECKING:
    from flows.client import Nexus
    from resolver.store import Entity

Command = TypeVar("Command", bound=Callable[..., Any])

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
    return cast(
        Command, click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")(command)
    )


def say(text: str = "") -> None:
    """A line for people, beside the results."""
    click.echo(text, err=True)


def result(value: Any) -> None:
    """A line for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="nexus-resolver", prog_name="nexus")
@click.option("--verbose", "-v", is_flag=True, help="Say more about what happens.")
def nexus(verbose: bool) -> None:
    """Turn a stream of customer events into persons and groups, exactly once, while the events happen.

    \b
    Try it:     nexus demo
    Run it:     nexus run --source calls.jsonl --as segment --until-end
    Ask it:     nexus lookup person email=ada@acme.example
    """
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )


def main() -> None:
    """The entry point: every known error is one line and an exit code."""
    try:
        nexus(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        _end(f"{error.format_message()}{hint}", 2)
    except click.Abort:
        _end("stopped", 130)
    except SettingsError as error:
        _end(str(error), 2)
    except NexusError as error:
        _end(str(error), 1)
    except BrokenPipeError:
        sys.exit(1)


def _end(line: str, code: int) -> None:
    say(f"nexus: {' '.join(line.split())}")
    sys.exit(code)


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
    """Run all flows in one process, or the one that is named.

    Without settings everything is embedded: a private redis-server, and logs in the data folder. With
    `kafka.bootstrap.servers` and `redis.url` set it reads and writes topics. Any number of processes may run at once;
    SIGTERM and SIGINT finish the batch in hand and end with code 0.

    \b
    Examples:
      nexus run --source calls.jsonl --as segment --until-end
      producer | nexus run --source - --as event
      nexus run resolve --workers 4 --config production.yaml
    """
    from flows.production import Production, Source

    settings = _settings(given, workers=workers, redis__ephemeral=ephemeral or None)
    Production(settings, Source.parse(settings, source, format_name, is_import), say).run(
        flow, until_end=until_end, from_beginning=from_beginning
    )


@nexus.command()
@click.option("--snapshot", is_flag=True, help="Send the whole answer anew, then end.")
@click.option("--until-end", is_flag=True, help="Stop when the outbox is empty.")
@common
def publish(snapshot: bool, until_end: bool, **given: Any) -> None:
    """Publish what the outbox holds; with --snapshot, the whole answer for consumers who lost theirs.

    A publisher that runs already does the snapshot between its transitions; this command waits for it.

    \b
    Example:
      nexus publish --snapshot
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
@click.argument("identifier", metavar="TYPE=VALUE")
@as_json
@common
def lookup(entity_type: EntityType, identifier: str, is_json: bool, **given: Any) -> None:
    """Show the entity that an identifier belongs to now, with all its identifiers. Exit code 1: nobody's.

    \b
    Examples:
      nexus lookup person email=ada@acme.example
      nexus lookup group domain=acme.example --json
    """
    identifier_type, equals, value = identifier.partition("=")
    if not equals:
        raise SettingsError("name the identifier as TYPE=VALUE, as in email=ada@acme.example")
    with _client(given) as client:
        found = client.lookup(entity_type, identifier_type, value)
        _show_entity(found, is_json, f"no {entity_type} has this {identifier_type}")


@nexus.command()
@click.argument("entity_id", metavar="ID")
@as_json
@common
def history(entity_id: str, is_json: bool, **given: Any) -> None:
    """Show what an id has been through: its birth, what it absorbed, and under which id it goes on.

    An id that was ever given out answers for ever, with the entity that holds its identifier now.

    \b
    Example:
      nexus history per_0123456789abcdef0123456789abcdef
    """
    from flows.showing import history_as_json, history_for_people

    with _client(given) as client:
        found = client.history(entity_id)
        if found.now is None:
            raise click.exceptions.Exit(_nobody("nobody was ever called by this id"))
        if is_json:
            result(history_as_json(found))
        else:
            click.echo("\n".join(history_for_people(found)))


@nexus.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES))
@common
def export(entity_type: EntityType, **given: Any) -> None:
    """Write every identifier with its entity id, one JSON object a line, sorted by type and value.

    \b
    Example:
      nexus export person > persons.jsonl
    """
    with _client(given) as client:
        for identifier, entity_id in client.export(entity_type):
            result(
                {
                    "identifier_type": identifier.identifier_type,
                    "identifier_value": identifier.identifier_value,
                    "entity_id": entity_id,
                }
            )


@nexus.command()
@as_json
@common
def check(is_json: bool, **given: Any) -> None:
    """Check settings, connections, and every invariant of the store. Exit code 1 when something is wrong.

    \b
    Example:
      nexus check --json
    """
    from flows.checking import checks

    settings = _settings(given)
    is_wrong = False
    for one in checks(settings):
        is_wrong |= one.verdict == "wrong"
        if is_json:
            result({"check": one.name, "verdict": one.verdict, "detail": one.detail})
        else:
            click.echo(f"{one.verdict:>7}  {one.name}: {one.detail}")
    raise click.exceptions.Exit(1 if is_wrong else 0)


# shared by the commands


def _settings(given: dict[str, Any], **more: Any) -> Settings:
    config = given.pop("config")
    return load(file=config, **given, **more)


@contextmanager
def _client(given: dict[str, Any]) -> Iterator["Nexus"]:
    from flows.client import Nexus

    with Nexus(_settings(given)) as client:
        yield client


def _show_entity(found: "Entity | None", is_json: bool, otherwise: str) -> None:
    from flows.showing import entity_as_json, entity_for_people

    if found is None:
        raise click.exceptions.Exit(_nobody(otherwise))
    if is_json:
        result(entity_as_json(found))
    else:
        click.echo("\n".join(entity_for_people(found)))


def _nobody(line: str) -> int:
    say(f"nexus: {line}")
    return 1
