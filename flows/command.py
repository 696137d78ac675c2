"""What the commands share: options, the settings they make, and what goes to which output."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from flows.settings import Settings, load
from schemas.errors import SettingsError

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
    return click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")(command)


def alive(command: Command) -> Command:
    """`--alive`, for commands that go on until they are stopped."""
    option = click.option(
        "--alive", type=click.Path(path_type=Path), help="A file to touch as long as the work goes on."
    )
    return option(command)


def say(text: str = "") -> None:
    """A line for people, beside the results."""
    click.echo(text, err=True)


def result(value: Any) -> None:
    """A line for a program."""
    sys.stdout.write(json_line(value))


def json_line(value: Any) -> str:
    """One JSON value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def settings_of(given: dict[str, Any], **more: Any) -> Settings:
    """The settings of a command, from the `common` options that it was given and what else it says."""
    config = given.pop("config")
    return load(file=config, **given, **more)


def of_something(settings: Settings) -> Settings:
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
