"""What containers are told to run, held against the command lines that there are."""

from __future__ import annotations

from collections.abc import Sequence

import click

from demo_producer.cli import _parser
from flows.cli import nexus

PRODUCER = ["python", "-m", "demo_producer"]


def accepts(arguments: Sequence[str], entrypoint: Sequence[str] = ("nexus",)) -> None:
    """Raise unless these are arguments of `nexus`, or of the demo's producer; nothing is run."""
    if list(entrypoint) == PRODUCER:
        _parser().parse_args(arguments)
        return
    assert list(entrypoint) == ["nexus"]
    with nexus.make_context("nexus", list(arguments)) as group:
        name, command, rest = nexus.resolve_command(group, [*group._protected_args, *group.args])
        assert command is not None
        with command.make_context(name, rest, parent=group) as context:
            if isinstance(command, click.Group):
                raise AssertionError(f"{context.command_path} does nothing by itself")
