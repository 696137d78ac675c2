"""The commands that ask: who somebody is, since when, why, and what belongs to nobody."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from flows.command import as_json, common, json_line, of_something, result, say, settings_of
from flows.progress import progress
from schemas.errors import BadMessage, SinkUnavailable
from schemas.identifiers import ENTITY_TYPES, EntityType
from schemas.instants import format_instant, parse_instant

if TYPE_CHECKING:
    from flows.client import Absence, Nexus
    from flows.exporting import Wanted

_LIMIT = click.option(
    "--limit",
    type=click.IntRange(min=2),
    default=100_000,
    show_default=True,
    help="How many identifiers around them are read at most.",
)


class _Instant(click.ParamType[str]):
    """An instant that has been: RFC 3339, or a day, which is its beginning in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """RFC 3339, in UTC."""
        try:
            at_ms = parse_instant(value if "T" in value.upper() else f"{value}T00:00:00Z", "time")
        except BadMessage:
            self.fail(f"{value!r} is no time: write 2026-01-05T10:00:00Z, or 2026-01-05", param, ctx)
        if at_ms > time.time() * 1000:
            self.fail(f"{value!r} has not been yet", param, ctx)
        return format_instant(at_ms)


@click.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES))
@click.argument("identifier", metavar="TYPE=VALUE|ID")
@click.option("--as-of", "at", type=_Instant(), metavar="TIME", help="What the event log knew by then.")
@as_json
@common
def lookup(entity_type: EntityType, identifier: str, at: str | None, is_json: bool, **given: Any) -> None:
    """Show whose an identifier is now, or was.

    With all other identifiers of that person or group. The value may be written as people write it:
    Ada@ACME.example finds ada@acme.example. An id does as well, be it a former one. Exit code 1: it is
    nobody's. No event names it, it is blocked or erased, or it is shared by so many that it was
    quarantined: then the entities of its partners are shown.

    With --as-of it is the answer to all that had come in by that time, with traits, memberships and the
    states as they were then, under the rules of today. It is computed from the event log.

    \b
    Examples:
      nexus lookup person email=ada@acme.example
      nexus lookup group domain=acme.example --json
      nexus lookup person email=ada@acme.example --as-of 2026-01-05T10:00:00Z
      nexus lookup person per_0123456789abcdef0123456789abcdef
    """
    from flows.client import key_of_id
    from flows.showing import entity_as_json, entity_for_people

    identifier_type, equals, value = identifier.partition("=")
    if not equals:
        key_of_id(entity_type, identifier)  # wrong usage is told before anything is opened
    if at is not None:
        _look_back(entity_type, identifier, at, is_json, given)
        return
    with _client(given) as client:
        found = client.lookup(entity_type, identifier_type, value) if equals else client.entity(identifier)
        absence = client.absence(entity_type, identifier) if found is None else None
    if found is None:
        _absent(entity_type, identifier, absence, is_json)
    _show(is_json, lambda: entity_as_json(found), lambda: entity_for_people(found))


def _look_back(entity_type: EntityType, named: str, at: str, is_json: bool, given: dict[str, Any]) -> None:
    from flows.timelines import known_as_json, known_for_people

    with _client(given) as client:
        found = client.as_of(entity_type, named, at)
    profile = found.then.profile
    if profile is None:
        _absent(entity_type, named, found.absence, is_json, at)
    _show(
        is_json,
        lambda: {"as_of": at, **known_as_json(profile)},
        lambda: chain([f"as of {at}"], known_for_people(found.then, profile)),
    )


def _absent(
    entity_type: EntityType, named: str, absence: "Absence | None", is_json: bool, at: str | None = None
) -> NoReturn:
    """Say why nobody has an identifier; nobody is no error, and no success."""
    from flows.explaining import absence_as_json, absence_for_people

    identifier_type, equals, _ = named.partition("=")
    if is_json:
        by = {} if at is None else {"as_of": at}
        result({**by, "entity_type": entity_type, "entity_id": None, **absence_as_json(absence)})
    if absence is None or absence.state == "unnamed":
        what = f"this {identifier_type if equals else 'id'}"
        _nobody(f"no {entity_type} has {what}" if at is None else f"no {entity_type} had {what} by {at}")
    if absence.state == "by rule":
        _nobody(f"this {identifier_type} is blocked ({absence.rule}): it names nobody, whoever sends it")
    if not is_json:
        click.echo("\n".join(absence_for_people(named, absence)))
    raise click.exceptions.Exit(1)


@click.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES))
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@_LIMIT
@as_json
@common
def why(entity_type: EntityType, a: str, b: str, limit: int, is_json: bool, **given: Any) -> None:
    """Explain why two identifiers are one, or are not.

    A and B are TYPE=VALUE, or ids. Of two that are one: the shortest chain of events that says so, and
    the fewest of them without which they would not be one. Of two that are not: what breaks the chain
    between them, be it quarantined, blocked, suspended or set apart, or that there is none. Exit code 1:
    no event names one of the two.

    \b
    Examples:
      nexus why person email=ada@acme.example user_id=u-7
      nexus why group domain=acme.example domain=acme.test --json
    """
    from flows.client import key_of_id
    from flows.explaining import why_as_json, why_for_people

    for named in (a, b):
        if "=" not in named:
            key_of_id(entity_type, named)
    with _client(given) as client:
        found = client.why(entity_type, a, b, limit)
    _show(is_json, lambda: why_as_json(found), lambda: why_for_people(found))
    raise click.exceptions.Exit(1 if found.unknown else 0)


@click.command()
@click.argument("entity_id", metavar="ID")
@as_json
@common
def history(entity_id: str, is_json: bool, **given: Any) -> None:
    """Show what an id has been through.

    Its birth, whom it absorbed, what split off, and under which id it goes on, each with the event that
    caused it; and the other ids that led here. An id that was ever given out answers for ever, with the
    entity that holds its identifier now, or why it is nobody's. The store remembers the last 20 changes
    of each id, and says where its memory begins. Exit code 1: nobody was ever called by this id.

    \b
    Examples:
      nexus history per_0123456789abcdef0123456789abcdef
      nexus history grp_0123456789abcdef0123456789abcdef --json
    """
    from flows.showing import history_as_json, history_for_people

    with _client(given) as client:
        found = client.history(entity_id)
    if not found.is_known:
        if is_json:
            result({"entity_id": entity_id, "now": None})
        _nobody("nobody was ever called by this id")
    _show(is_json, lambda: history_as_json(found), lambda: history_for_people(found))


@click.command()
@click.argument("named", metavar="[person|group] TYPE=VALUE|ID", nargs=-1, required=True)
@click.option("--text", "is_text", is_flag=True, help="Lines for people, also where there is no terminal.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="How many identifiers are read at most, and of a group how many links of persons.",
)
@click.option(
    "--events",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="How many events are read at most from the event log, the newest.",
)
@click.option("--recent", is_flag=True, help="Only the events that the store remembers.")
@as_json
@common
def timeline(
    named: tuple[str, ...],
    is_text: bool,
    limit: int,
    events: int,
    recent: bool,
    is_json: bool,
    **given: Any,
) -> None:
    """Show one person or company on a page.

    Identifiers, traits with their source, memberships and current states; then what happened, in the
    order of time: events, changes of states, of memberships and of identity. Events are those of the
    event log, the newest --events of them; without a log, those that the store remembers. By any
    identifier, or by an id, be it a former one. Lines with colours on a terminal, one JSON object
    elsewhere. Exit code 1: it is nobody's; what its id has been through is shown.

    \b
    Examples:
      nexus timeline per_0123456789abcdef0123456789abcdef
      nexus timeline person email=ada@acme.example --events 10000
      nexus timeline group domain=acme.example --json | jq .states
    """
    from flows.timelines import timeline_as_json, timeline_for_people

    entity_type, name = _one(named)
    with _client(given) as client:
        try:
            found = client.timeline(entity_type, name, limit, None if recent else events)
        except SinkUnavailable as away:
            raise SinkUnavailable(f"{away}; --recent shows the events that the store remembers") from away
    is_json = is_json or not (is_text or sys.stdout.isatty())
    _show(is_json, lambda: timeline_as_json(found), lambda: timeline_for_people(found))
    raise click.exceptions.Exit(1 if found.profile is None else 0)


def _one(named: tuple[str, ...]) -> tuple[EntityType, str]:
    """Whom `TYPE=VALUE` after an entity type, or an id alone or after it, names."""
    from flows.client import key_of_id
    from schemas.identifiers import parse_entity_id

    if len(named) == 1 and "=" not in named[0] and named[0] not in ENTITY_TYPES:
        return parse_entity_id(named[0])[0], named[0]
    if len(named) != 2 or named[0] not in ENTITY_TYPES:
        raise click.UsageError("name one person or group: by its id, or by person TYPE=VALUE")
    entity_type: EntityType = "person" if named[0] == "person" else "group"
    if "=" not in named[1]:
        key_of_id(entity_type, named[1])
    return entity_type, named[1]


@click.command()
@click.argument("entity_type", type=click.Choice(ENTITY_TYPES), required=False)
@click.option("--suspended", is_flag=True, help="The links that unite nothing, instead of identifiers.")
@as_json
@common
def quarantine(entity_type: EntityType | None, suspended: bool, is_json: bool, **given: Any) -> None:
    """List what was taken out of the graph, and why.

    Values that too many share and values that an operator blocked, by type and value: by which limit
    and which event, since when, and how many entities each would have glued together. With --suspended
    the links that would give one entity two values of a unique type, or join what an operator set
    apart. What the rules block is never in the graph and not listed.

    \b
    Examples:
      nexus quarantine
      nexus quarantine person --json | jq 'select(.would_glue > 100)'
      nexus quarantine group --suspended
    """
    from flows.explaining import suspended_as_json, suspended_for_people, taken_as_json, taken_for_people

    with _client(given) as client:
        if suspended:
            _list(client.suspended(entity_type), is_json, suspended_as_json, suspended_for_people)
            return
        with progress("reading") as show:
            rows = client.quarantine(entity_type, show)
            first = list(islice(rows, 1))  # all are read before the first comes
        _list(chain(first, rows), is_json, taken_as_json, taken_for_people)


@click.command()
@click.argument("what", type=click.Choice([*ENTITY_TYPES, "states", "memberships", "traits"]))
@click.option("--traits", "with_traits", is_flag=True, help="One row a person or group, with its traits.")
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="NAME=VALUE",
    help="One row for each who is in this state now; may be repeated: in all of them.",
)
@click.option("--csv", "is_csv", is_flag=True, help="A table with a header instead of JSON lines.")
@click.option("--json", is_flag=True, hidden=True, expose_value=False)  # it is JSON in any case
@common
def export(what: str, with_traits: bool, states: tuple[str, ...], is_csv: bool, **given: Any) -> None:
    """Write the whole answer, or a list.

    `person` and `group`: every identifier with its entity id, sorted by type and value; with --traits or
    --state a list instead, a row for each with its identifiers and traits, sorted by id. `states`,
    `memberships` and `traits`: every interval, membership or trait, sorted by entity. One JSON object a
    line, or a table. Memory does not grow with the number of rows: what does not fit is sorted on disk.

    \b
    Examples:
      nexus export person > persons.jsonl
      nexus export states | jq 'select(.is_current)'
      nexus export person --traits --state activity=dormant --csv > dormant.csv
    """
    from flows.exporting import Wanted

    is_list = with_traits or bool(states)
    if is_list and what not in ENTITY_TYPES:
        raise click.UsageError("--traits and --state make lists of persons or groups")
    wanted = Wanted("group" if what == "group" else "person", _states(states), with_traits)
    with _client(given) as client:
        wanted.refuse_undeclared(client.rules)
        with progress("reading", None if is_list or what not in ENTITY_TYPES else client.count()) as show:
            rows, columns = _exported(client, what, wanted if is_list else None, show)
            first = list(islice(rows, 1))  # all are read before the first comes
        _write(chain(first, rows), columns, is_csv)


def _exported(
    client: "Nexus", what: str, wanted: "Wanted | None", show: Callable[[int], None]
) -> tuple[Iterator[dict[str, Any]], Callable[[], Sequence[str]]]:
    """Rows, and what tells their columns once they are read."""
    from flows.client import Row
    from flows.exporting import COLUMNS, List, rows_of

    if wanted is not None:
        found = List(client, wanted)
        return found.rows(show), lambda: found.columns
    if what in COLUMNS:
        return rows_of(client, what, show), lambda: COLUMNS[what]
    rows = client.export("person" if what == "person" else "group", show)
    return (row._asdict() for row in rows), lambda: Row._fields


def _states(given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [one.partition("=") for one in given]
    if not all(equals for _, equals, _ in pairs):
        raise click.UsageError("--state is NAME=VALUE, as in --state billing_lifecycle=active")
    return tuple((name, value) for name, _, value in pairs)


def _write(rows: Iterable[dict[str, Any]], columns: Callable[[], Sequence[str]], is_csv: bool) -> None:
    from flows.exporting import table

    lines = table(columns, rows) if is_csv else map(json_line, rows)
    with _until_enough():
        sys.stdout.writelines(lines)
        sys.stdout.flush()


QUESTIONS: Final = (lookup, timeline, why, history, quarantine, export)


# shared by them


@contextmanager
def _client(given: dict[str, Any]) -> Iterator["Nexus"]:
    from flows.client import Nexus

    with Nexus(of_something(settings_of(given))) as client:
        yield client


@contextmanager
def _until_enough() -> Iterator[None]:
    """Write until the reader has seen enough, such as `| head`, which is no failure."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes
        raise click.exceptions.Exit(0) from None


def _list(
    rows: Iterable[Any],
    is_json: bool,
    for_program: Callable[[Any], Any],
    for_people: Callable[[Any], Iterator[str]],
) -> None:
    """Write one row after the other, as they come."""
    row = None
    with _until_enough():
        for row in rows:
            if is_json:
                result(for_program(row))
            else:
                click.echo("\n".join(for_people(row)))
        sys.stdout.flush()
    if row is None and not is_json:
        say("nexus: there is none")


def _show(is_json: bool, for_program: Callable[[], Any], for_people: Callable[[], Iterator[str]]) -> None:
    if is_json:
        result(for_program())
    else:
        click.echo("\n".join(for_people()))


def _nobody(line: str) -> NoReturn:
    say(f"nexus: {line}")
    raise click.exceptions.Exit(1)
