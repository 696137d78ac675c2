"""What containers are told to run, held against the command lines that there are."""

from __future__ import annotations

from collections.abc import Sequence

from demo_producer.cli import _parser
from flows.cli import nexus

PRODUCER = ["python", "-m", "demo_producer"]


def accepts(arguments: Sequence[str], entrypoint: Sequence[str] = ("nexus",)) -> None:
    """Raise unless these are arguments of `nexus`, or of the demo's producer; nothing is run."""
    if list(entrypoint) == PRODUCER:
        _parser().parse_args(arguments)
        return
    assert list(entrypoint) == ["nexus"]
    name, *options = arguments
    nexus.commands[name].make_context(name, options).close()
