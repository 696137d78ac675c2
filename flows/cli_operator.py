"""The commands by which a person decides about identities, and the one that lists what was decided."""

import getpass
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flows.command import as_json, common, of_something, result, say, settings_of
from schemas.identifiers import ENTITY_TYPES, EntityType

if TYPE_CHECKING:
    from flows.operator import Operator, Subject
    from flows.retraction import Retraction
    from flows.wiring import Wiring
    from schemas.operations import Kind, Operation

Command = TypeVar("Command", bound=Callable[..., Any])

_NAME = "TYPE=VALUE|ID"
_DECIDING = (
    click.option("--why", default="", help="The reason, for the audit."),
    click.option("--who", default=None, help="Who decides this, for the audit. Default: your login name."),
    click.option(
        "--dry-run", "is_dry", is_flag=True, help="Show what would merge and split; change nothing."
    ),
    click.option(
        "--wait/--no-wait", "waits", default=True, help="Wait until the stream has carried it out. Default."
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0),
        default=30.0,
        show_default=True,
        help="Seconds to wait.",
    ),
)


@dataclass(frozen=True, slots=True)
class Manner:
    """How an operator wants it done: what all of these commands have in common."""

    why: str
    who: str
    is_dry: bool
    timeout_s: float | None
    is_json: bool


def deciding(command: Command) -> Command:
    """The options of every command that decides something."""
    for option in reversed(_DECIDING):
        command = option(command)
    return as_json(common(command))


def manner_of(given: dict[str, Any]) -> Manner:
    """Take the options of `deciding` out of what a command was given."""
    timeout_s, waits, who = given.pop("timeout_s"), given.pop("waits"), given.pop("who")
    return Manner(
        given.pop("why"),
        _login_name() if who is None else who,
        given.pop("is_dry"),
        timeout_s if waits else None,
        given.pop("is_json"),
    )


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # as in a container, whose user has a number and no name
        return str(os.getuid())


_entity_type = click.argument("entity_type", type=click.Choice(ENTITY_TYPES))


@click.command()
@_entity_type
@click.argument("a", metavar=f"{_NAME}")
@click.argument("b", metavar=f"{_NAME}")
@deciding
def together(entity_type: EntityType, a: str, b: str, **given: Any) -> None:
    """Say that two identifiers are one person or group.

    Whatever events say. It lends no age, and of a contradiction with `nexus apart` the later one counts.
    An id stands for the identifier that it was made from, its entity's oldest.

    \b
    Examples:
      nexus together person email=ada@acme.example user_id=u-7 --why "she wrote to us"
      nexus together person per_0123456789abcdef0123456789abcdef phone=+4930123456 --dry-run
    """
    _decide("together", entity_type, (a, b), given)


@click.command()
@_entity_type
@click.argument("a", metavar=f"{_NAME}")
@click.argument("b", metavar=f"{_NAME}")
@deciding
def apart(entity_type: EntityType, a: str, b: str, **given: Any) -> None:
    """Say that two identifiers are not one person or group.

    Links that would unite them are suspended, and kept with that reason; the first links in the order of
    the log stay. Later news about them are judged in the same way.

    \b
    Examples:
      nexus apart person email=bo@acme.example email=cy@acme.example --why "two sisters"
      nexus apart person email=bo@acme.example user_id=u-9 --dry-run
    """
    _decide("apart", entity_type, (a, b), given)


@click.command()
@_entity_type
@click.argument("identifier", metavar=_NAME)
@deciding
def block(entity_type: EntityType, identifier: str, **given: Any) -> None:
    """Take an identifier out of the graph: it names nobody.

    What it held together falls apart, exactly into what the other links give. It stays in its links, so
    that `nexus unblock` brings everything back.

    \b
    Examples:
      nexus block person email=frontdesk@acme.example --why "everybody's mailbox"
      nexus block person anonymous_id=kiosk-3 --dry-run
    """
    _decide("block", entity_type, (identifier,), given)


@click.command()
@_entity_type
@click.argument("identifier", metavar=_NAME)
@deciding
def unblock(entity_type: EntityType, identifier: str, **given: Any) -> None:
    """Undo `nexus block`.

    The rules go on to apply: an identifier with too many partners stays quarantined.

    \b
    Examples:
      nexus unblock person email=frontdesk@acme.example
      nexus unblock person email=frontdesk@acme.example --dry-run
    """
    _decide("unblock", entity_type, (identifier,), given)


@click.command()
@_entity_type
@click.argument("identifier", metavar=_NAME)
@deciding
def release(entity_type: EntityType, identifier: str, **given: Any) -> None:
    """Exempt an identifier from the limits: it stays in the graph however many partners it has.

    For one that was quarantined by a rule and is not shared. `nexus block` takes it out all the same.

    \b
    Examples:
      nexus release person anonymous_id=5f0c --why "one person, four accounts of the same shop"
      nexus release person anonymous_id=5f0c --dry-run
    """
    _decide("release", entity_type, (identifier,), given)


@click.command()
@_entity_type
@click.argument("identifier", metavar=_NAME)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask on a terminal.")
@deciding
def erase(entity_type: EntityType, identifier: str, is_sure: bool, **given: Any) -> None:
    """Erase a person or group, for ever.

    With everything that it is known by now. Shared identifiers that it had touched are blocked from now
    on. Consumers are told, and get tombstones; a replay does not bring it back, and who signs up again
    is a new person. At the end there is a certificate of what was removed, and of what remains where
    until when: keep it. Exit code 1: there is nobody to erase, or it was not carried out in time.

    \b
    Examples:
      nexus erase person email=ada@acme.example --why "her request of 5 January" --yes
      nexus erase person per_0123456789abcdef0123456789abcdef --dry-run
    """
    from flows.operator import Operator

    manner = manner_of(given)
    with _parts(given) as parts:
        operator = Operator(parts)
        subject = operator.subject(entity_type, identifier)
        operation = operator.erasure(subject, manner.who, manner.why)
        if manner.is_dry:
            _preview(operator, operation, manner)
            return
        if not is_sure and sys.stdin.isatty():
            click.confirm(_warning(subject), abort=True, err=True)
        _erase(parts, operator, subject, operation, manner)


@click.command()
@click.argument("source", metavar="SOURCE")
@click.argument("event_id", metavar="EVENT_ID")
@deciding
def retract(source: str, event_id: str, **given: Any) -> None:
    """Take an event that should never have been sent out of the answer, for ever.

    Nothing more is taken from it, whatever its copies and whenever they come: in a replay, a rebuild, from
    the dead letters. What it did before is pending, and repaired by the next `nexus reconcile`, which
    computes the answer without it. The event stays in the event log, which is a record of what came in. It
    cannot be undone: send a right event under an id of its own. Exit code 1: there is no such event.

    \b
    Examples:
      nexus retract stripe evt_1 --dry-run
      nexus retract app in_1:paid --why "an import of last year's file"
    """
    from flows.asking import asked_log
    from flows.operator import Operator
    from flows.retraction import Retraction
    from schemas.events import EventKey

    manner = manner_of(given)
    with _parts(given) as parts, asked_log(parts) as log:
        operator, retraction = Operator(parts), Retraction(parts, log, EventKey(source, event_id))
        touched = retraction.touched()
        if manner.is_dry:
            _show_effects(retraction, manner)
            return
        operation = operator.retraction(retraction.event, touched, manner.who, manner.why)
        is_done = operator.send(operation, manner.timeout_s)
    if manner.is_json:
        done = {"operation": "retract", "operation_id": operation.operation_id, "is_done": is_done}
        result({**done, "touched": len(touched)})
    elif is_done:
        click.echo(f"Done: operation {operation.operation_id}. It touched {len(touched):,} identifiers.")
        click.echo("What rested on it is pending: `nexus reconcile` repairs it.")
    if log is None:
        say("nexus: there is no event log: more may rest on the event than the store remembers of it, and")
        say("nexus: nothing repairs that until there is one (warehouse.engine)")
    _say_if_open(operation, is_done, manner)


def _show_effects(retraction: "Retraction", manner: Manner) -> None:
    from flows.retraction import effects_as_json, effects_for_people

    effects = retraction.effects()
    if manner.is_json:
        for effect in effects_as_json(effects):
            result(effect)
    else:
        click.echo("\n".join(effects_for_people(effects)))


@click.command()
@as_json
@common
def operations(is_json: bool, **given: Any) -> None:
    """List what operators decided: when, who, what and why.

    From the control topic, which keeps it for ever, the oldest first.

    \b
    Examples:
      nexus operations
      nexus operations --json | jq 'select(.operation == "block")'
    """
    from flows.operator import Operator, Recorded
    from flows.telling import operation_as_json, operation_for_people

    unreadable = 0
    with _parts(given) as parts:
        for found in Operator(parts).recorded():
            if not isinstance(found, Recorded):
                unreadable += 1
            elif is_json:
                result(operation_as_json(found))
            else:
                click.echo("\n".join(operation_for_people(found, parts.keyring)))
    if unreadable:
        say(f"nexus: {unreadable:,} more could not be read: they are dead letters, with their reasons")


OPERATOR_COMMANDS: Sequence[click.Command] = (
    together, apart, block, unblock, release, erase, retract, operations
)  # fmt: skip


def _parts(given: dict[str, Any]) -> "Wiring":
    from flows.wiring import Wiring

    return Wiring(of_something(settings_of(given)))


def _decide(kind: "Kind", entity_type: EntityType, named: Sequence[str], given: dict[str, Any]) -> None:
    """One operator event about the identifiers that are named."""
    from flows.operator import Operator

    manner = manner_of(given)
    with _parts(given) as parts:
        operator = Operator(parts)
        identifiers = [operator.identifier(entity_type, each) for each in named]
        operation = operator.decision(kind, identifiers, manner.who, manner.why)
        if manner.is_dry:
            _preview(operator, operation, manner)
            return
        is_done = operator.send(operation, manner.timeout_s)
    if manner.is_json:
        result({"operation": kind, "operation_id": operation.operation_id, "is_done": is_done})
    elif is_done:
        click.echo(f"Done: operation {operation.operation_id}.")
    _say_if_open(operation, is_done, manner)


def _preview(operator: "Operator", operation: "Operation", manner: Manner) -> None:
    from flows.telling import changes_for_people
    from schemas.transitions import to_json

    changes = operator.preview(operation)
    if manner.is_json:
        for change in changes:
            click.echo(to_json(change))
    else:
        click.echo("\n".join(changes_for_people(changes)))


def _say_if_open(operation: "Operation", is_done: bool, manner: Manner) -> None:
    """What is recorded and not carried out yet is fine for who does not wait, and a failure for who does."""
    if is_done:
        return
    recorded = f"operation {operation.operation_id} is recorded, and the stream will carry it out"
    if manner.timeout_s is None:
        say(f"nexus: {recorded}")
        return
    say(f"nexus: {recorded}; it has not in {manner.timeout_s:g} s: is `nexus run` at work?")
    raise click.exceptions.Exit(1)


def _warning(subject: "Subject") -> str:
    """What is about to happen, in one question."""
    whom = subject.entity_id or f"the shared {subject.members[0].identifier_type}"
    touched = f", and block {len(subject.touched):,} shared ones that it touched" if subject.touched else ""
    return f"Erase {whom} with {len(subject.members):,} identifiers{touched}? It cannot be undone"


def _erase(
    parts: "Wiring", operator: "Operator", subject: "Subject", operation: "Operation", manner: Manner
) -> None:
    from flows.erasure import Erasure
    from flows.telling import certificate_as_json, certificate_for_people

    erasure = Erasure(parts, subject, operation)
    is_done = operator.send(operation, manner.timeout_s)
    if not is_done:
        if manner.is_json:
            result({"operation": "erase", "operation_id": operation.operation_id, "is_done": False})
        _say_if_open(operation, is_done, manner)
        return
    certificate = erasure.certificate()
    if manner.is_json:
        result(certificate_as_json(certificate))
    else:
        click.echo("\n".join(certificate_for_people(certificate)))
    if not certificate.is_complete:
        say("nexus: not everything is erased, though the stream is past it: look into the dead letters")
        raise click.exceptions.Exit(1)
