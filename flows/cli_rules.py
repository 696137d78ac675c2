"""`nexus rules`: what other rules would change, and bringing them into force."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli_operator import deciding, manner_of
from flows.command import as_json, common, of_something, result, say, settings_of

if TYPE_CHECKING:
    from flows.cli_operator import Manner
    from flows.ruling import Difference, Taken
    from flows.wiring import Wiring

_KINDS = {
    "entities_merged": "merge",
    "entity_split": "split",
    "entity_relabelled": "would be renamed",
    "entity_created": "would be new",
    "identifier_quarantined": "quarantine",
    "identifier_released": "come back",
    "blocked": "blocked",
}

_file = click.argument("file", metavar="NEW.yaml", type=click.Path(path_type=Path))
_examples = click.option(
    "--examples", type=click.IntRange(min=0), default=5, show_default=True, help="Examples of each kind."
)


@click.group("rules")
def rules_group() -> None:
    """Compare other rules with those in force, and bring them into force.

    docs/rules.md says what there is to be decided.
    """


@rules_group.command()
@_file
@_examples
@as_json
@common
def diff(file: Path, examples: int, is_json: bool, **given: Any) -> None:
    """Show who would merge and split under other rules.

    On the living graph, as it is now, with counts and examples; changes nothing. NEW.yaml is a whole
    settings file, or has only what stands below `rules:`. The settings file itself will do: what it is
    compared with are the rules in force.

    \b
    Examples:
      nexus rules diff new.yaml
      nexus rules diff nexus.yaml --examples 20 --json
    """
    from flows.ruling import Ruling
    from flows.settings import rules_from_file

    rules = rules_from_file(file)
    with _parts(given) as parts:
        _show(Ruling(parts).difference(rules, examples), is_json)


@rules_group.command("apply")
@_file
@_examples
@deciding
def apply_rules(file: Path, examples: int, **given: Any) -> None:
    """Bring other rules into force, without a stop.

    All that run go on under them; only the persons and groups that the change concerns are resolved anew.
    What is no longer blocked is pending: `nexus rules pending` lists it. Afterwards put the new rules into
    the settings of every host: what is started with others ends with code 2.

    \b
    Examples:
      nexus rules apply new.yaml --why "the kiosk of Potsdam sees everybody"
      nexus rules apply new.yaml --dry-run
    """
    from flows.ruling import Ruling
    from flows.settings import rules_from_file

    manner, rules = manner_of(given), rules_from_file(file)
    with _parts(given) as parts:
        ruling = Ruling(parts)
        if manner.is_dry:
            _show(ruling.difference(rules, examples), manner.is_json)
            return
        taken = ruling.apply(rules, manner.who, manner.why, manner.timeout_s)
    _tell(taken, rules.version, manner)


@rules_group.command()
@as_json
@common
def pending(is_json: bool, **given: Any) -> None:
    """List what only the log can tell since rules changed.

    A value that is blocked is in no link, so one that is blocked no longer has no past here. What comes
    from now on counts; what came before is in the log.

    \b
    Examples:
      nexus rules pending
      nexus rules pending --json
    """
    from flows.ruling import Ruling

    with _parts(given) as parts:
        untold = Ruling(parts).untold()
    if is_json:
        for one in untold:
            result(one)
        return
    for one in untold:
        click.echo(_unblocked(one))
    click.echo(f"{len(untold):,} pending")


def _parts(given: dict[str, Any]) -> "Wiring":
    from flows.wiring import Wiring

    return Wiring(of_something(settings_of(given)))


def _unblocked(one: Mapping[str, str]) -> str:
    (how, value) = next((name, value) for name, value in one.items() if name != "type")
    what = {"exact": "the value", "pattern": "the pattern", "list": "the list", "internal": "the own domain"}
    return f"{one['type']}: {what[how]} {value} blocks no longer"


def _show(difference: "Difference", is_json: bool) -> None:
    if is_json:
        result(_as_json(difference))
    else:
        click.echo("\n".join(_for_people(difference)))


def _as_json(one: "Difference") -> dict[str, Any]:
    found = one.forecast
    return {
        "version": one.version,
        "is_same": one.is_same,
        "refused": list(one.refused),
        "entities": found.entities,
        "blocked": found.blocked,
        "counts": {kind: found.counts.get(kind, 0) for kind in _KINDS},
        "examples": {kind: [_example(made) for made in some] for kind, some in found.examples.items()},
        "pending": list(one.untold),
    }


def _example(made: Any) -> dict[str, Any]:
    """A transition that nobody has made: without number, cause and id."""
    unsaid = {"transition_id", "generation", "number", "cause", "namespace", "schema_version"}
    return dict(made.model_dump(mode="json", exclude=unsaid))


def _for_people(one: "Difference") -> Iterator[str]:
    from flows.telling import change_for_people, counted
    from resolver.rules_change import remedy

    if one.is_same:
        yield "These are the rules in force."
        return
    if one.refused:
        yield (
            f"They differ in {', '.join(one.refused)}, which `nexus rules apply` refuses: "
            f"{remedy(one.refused)}."
        )
        return
    found = one.forecast
    for kind, told in _KINDS.items():
        some = found.examples.get(kind, [])
        for made in some:
            yield from change_for_people(made)
        more = found.counts.get(kind, 0) - len(some)
        if more > 0:
            yield f"and {more:,} more of these ({told})"
    for each in one.untold:
        yield f"{_unblocked(each)}: what it had joined only the log can tell"
    counts = found.counts
    out = counts.get("identifier_quarantined", 0)
    yield (
        f"In all {counted(counts.get('entities_merged', 0), 'merge')}, "
        f"{counted(counts.get('entity_split', 0), 'split')}, "
        f"{counts.get('entity_relabelled', 0):,} renamed; {counted(out, 'identifier')} quarantined, "
        f"{counts.get('identifier_released', 0):,} back, {found.blocked:,} blocked. "
        f"{found.entities:,} persons and groups would change."
    )
    yield "Nothing was changed: `nexus rules apply` does it."


def _tell(taken: "Taken", version: str, manner: "Manner") -> None:
    if manner.is_json:
        result(
            {
                "operation": "rules",
                "operation_id": taken.operation_id,
                "version": version,
                "is_done": taken.is_done,
                "entities": taken.entities,
            }
        )
    elif taken.is_done:
        changed = "they were already" if taken.is_same else f"{taken.entities:,} persons and groups changed"
        click.echo(f"Done: operation {taken.operation_id}. The rules are in force; {changed}.")
    if taken.is_done:
        say(f"nexus: put rules {version} into the settings of every host: others do not start any more")
        return
    recorded = f"operation {taken.operation_id} is recorded, and the stream will carry it out"
    if manner.timeout_s is None:
        say(f"nexus: {recorded}")
        return
    say(f"nexus: {recorded}; not everything is settled in {manner.timeout_s:g} s: is `nexus run` at work?")
    raise click.exceptions.Exit(1)
