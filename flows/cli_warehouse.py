"""`nexus reconcile` and `nexus rebuild`: the warehouse has the last word."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.command import alive, as_json, common, of_something, result, settings_of
from flows.progress import progress
from schemas.errors import TransientError

if TYPE_CHECKING:
    from resolver.reconcile import Extent, Report, Say

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class _Interval(click.ParamType[float]):
    """A length of time such as `90s`, `15m`, `2h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", value)
        if found is None:
            self.fail(f"{value!r} is no length of time: write 90s, 15m or 2h", param, ctx)
        return float(int(found[1]) * _SECONDS[found[2]])


@click.command()
@click.option("--dry-run", "is_dry", is_flag=True, help="Compare, and repair nothing.")
@click.option(
    "--incremental",
    "is_incremental",
    is_flag=True,
    help="Look only at those to whom something happened since the last run.",
)
@click.option(
    "--trust-log",
    "trusts_log",
    is_flag=True,
    help="Repair although the log lacks much of what the stream has.",
)
@click.option(
    "--thorough", "is_thorough", is_flag=True, help="Repair everything, whether the answer differs or not."
)
@click.option("--fail-on-drift", is_flag=True, help="End with code 1 if anything differed.")
@click.option("--every", type=_Interval(), help="Again and again, such as 15m, until it is stopped.")
@alive
@as_json
@common
def reconcile(
    is_dry: bool,
    is_incremental: bool,
    is_thorough: bool,
    trusts_log: bool,
    fail_on_drift: bool,
    every: float | None,
    is_json: bool,
    alive: Path | None,
    **given: Any,
) -> None:
    """Compare the stream with what the whole event log says, and repair it.

    The authoritative answer is computed in the warehouse from everything that ever came in. Where the stream
    has another one, that is drift: it is set right beside the running stream, and consumers are told as of
    any other change. What was pending is settled. An incremental run makes the same tables in less time
    and leaves drift of all others to the next full run. docs/reconcile.md tells more.

    \b
    Examples:
      nexus reconcile
      nexus reconcile --dry-run --fail-on-drift --json
      nexus reconcile --every 15m --incremental
      nexus reconcile --thorough
    """
    if is_thorough and (is_dry or is_incremental):
        raise click.UsageError("--thorough repairs everything: leave out --dry-run and --incremental")
    extent: Extent = "thorough" if is_thorough else "incremental" if is_incremental else "full"
    from flows.alive import SignOfLife
    from flows.reconcile import page, reconcile, repeatedly
    from flows.stopping import Stop
    from flows.wiring import Wiring

    settings, stop, life = of_something(settings_of(given)), Stop(), SignOfLife(alive)
    stop.on_signals()
    has_drifted = False

    def run() -> None:
        nonlocal has_drifted
        with Wiring(settings) as parts, _steps() as say:
            report = reconcile(parts, stop, say, is_dry=is_dry, trusts_log=trusts_log, extent=extent)
        has_drifted = has_drifted or not report.is_clean
        _show(report, list(page(report)), is_json)
        life.touch()

    if every is None:
        run()
    else:
        repeatedly(every, stop, lambda: _unless_passing(run))
    raise click.exceptions.Exit(1 if has_drifted and fail_on_drift else 0)


def _unless_passing(run: Any) -> None:
    """A run that could not be made now is made the next time."""
    import logging

    try:
        run()
    except TransientError as error:
        logging.getLogger("nexus.reconcile").warning("not reconciled this time: %s", error)


def _show(report: "Report", lines: list[str], is_json: bool) -> None:
    if is_json:
        result(report.as_dict())
    else:
        click.echo("\n".join(lines))


@contextmanager
def _steps() -> Iterator["Say"]:
    """What is done at the moment, on a terminal."""
    from flows.reconcile import STEPS

    with progress("reconciling", len(STEPS)) as show:
        yield lambda step: show(list(STEPS).index(step))


@click.command()
@as_json
@common
def rebuild(is_json: bool, **given: Any) -> None:
    """Fill an empty Redis from the event log.

    Afterwards the stream goes on where the log ends, with the same persons and groups under the same ids.
    Stop what runs, empty Redis or take another one, rebuild, and start again. Consumers get a snapshot.

    \b
    Examples:
      nexus rebuild
      nexus rebuild --json
    """
    from flows.reconcile import rebuild
    from flows.stopping import Stop
    from flows.wiring import Wiring

    with Wiring(settings_of(given)) as parts, progress("events") as show:
        events = rebuild(parts, Stop(), show)
    if is_json:
        result({"events": events})
    else:
        click.echo(f"{events:,} events from the event log are in; the stream goes on where it ends")


WAREHOUSE_COMMANDS = (reconcile, rebuild)
