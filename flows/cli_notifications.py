"""`nexus notifications`: who is told, what waits and what failed, and what can be done about it."""

import time
from collections.abc import Iterator
from typing import Any

import click

from flows.command import as_json, common, of_something, result, settings_of
from flows.notices import Endpoint, named_endpoint
from flows.settings import Settings
from resolver.deliveries import Standing
from schemas.instants import format_instant

_SAMPLE = {
    "transition": "entities_merged",
    "transition_id": "00000000000000000000000000000000",
    "namespace": "",
    "generation": 0,
    "number": 0,
    "entity_type": "person",
    "entity_id": "per_00000000000000000000000000000000",
    "absorbed_id": "per_ffffffffffffffffffffffffffffffff",
    "moved": 1,
}


@click.group("notifications", invoke_without_command=True)
@as_json
@common
@click.pass_context
def notifications_group(context: click.Context, /, is_json: bool, **given: Any) -> None:
    """Show who is notified, what waits and what failed.

    For each endpoint: how many notices wait, were delivered, failed for good, were dropped because too many
    waited or the endpoint was gone, and were passed over as old news; then the last error. Exit code 1 when
    an endpoint is disabled.

    \b
    Examples:
      nexus notifications
      nexus notifications --json | jq 'select(.waiting > 100)'
      nexus notifications test crm
      nexus notifications enable crm
    """
    context.obj = given
    if context.invoked_subcommand is None:
        is_disabled = _show(of_something(settings_of(dict(given))), is_json)
        raise click.exceptions.Exit(1 if is_disabled else 0)


@notifications_group.command("test")
@click.argument("endpoint")
@click.pass_context
def try_endpoint(context: click.Context, /, endpoint: str) -> None:
    """Send a made-up notice to an endpoint, once and now, and say what came of it.

    Exit code 1 when it was not delivered.

    \b
    Example:
      nexus notifications test crm
    """
    from flows.notices import Rule
    from flows.sending import sink_of
    from flows.wording import body_of

    settings = settings_of(dict(context.obj))
    named = named_endpoint(settings.notifications, endpoint)
    namespace = settings.namespace
    sample = {**_SAMPLE, "namespace": namespace, "cause": _cause()}
    rule = Rule(when="true", to=(endpoint,), text="This is a trial of Nexus, about nobody.")
    sink = sink_of(named)
    outcome = sink.send(f"trial-{_now_ms()}", body_of(named, "trial", rule, namespace, sample).encode())
    sink.close()
    click.echo(f"{endpoint} ({named.place}): {outcome.verdict}{_because(outcome.detail)}")
    raise click.exceptions.Exit(0 if outcome.verdict == "delivered" else 1)


@notifications_group.command("enable")
@click.argument("endpoint")
@click.pass_context
def enable_endpoint(context: click.Context, /, endpoint: str) -> None:
    """Send again to an endpoint that said that it is gone (status 410).

    Other settings of the endpoint do the same. What came meanwhile is not sent.

    \b
    Example:
      nexus notifications enable crm
    """
    from flows.wiring import Wiring

    settings = of_something(settings_of(dict(context.obj)))
    named_endpoint(settings.notifications, endpoint)
    with Wiring(settings) as parts:
        parts.deliveries.enable(endpoint)
    click.echo(f"{endpoint} is enabled")


def _show(settings: Settings, is_json: bool) -> bool:
    """Tell of every endpoint; whether one of them is disabled."""
    from flows.sending import fingerprint
    from flows.wiring import Wiring

    is_any_disabled = False
    with Wiring(settings) as parts:
        for name, endpoint in settings.notifications.endpoints.items():
            standing = parts.deliveries.standing(name)
            is_disabled = standing.disabled == fingerprint(endpoint)
            is_any_disabled |= is_disabled
            told = _as_json(name, endpoint, standing, is_disabled)
            if is_json:
                result(told)
            else:
                click.echo("\n".join(_for_people(told)))
    if not settings.notifications.endpoints and not is_json:
        click.echo("no endpoints are set: see docs/notifications.md")
    return is_any_disabled


def _as_json(name: str, endpoint: Endpoint, standing: Standing, is_disabled: bool) -> dict[str, Any]:
    return {
        "endpoint": name,
        "kind": endpoint.kind,
        "place": endpoint.place,
        "disabled": is_disabled,
        "waiting": standing.waiting,
        "waiting_since": _instant(standing.since_ms),
        "next_at": _instant(standing.next_ms),
        "delivered": standing.delivered,
        "delivered_at": _instant(standing.delivered_at_ms),
        "failed": standing.failed,
        "dropped": standing.dropped,
        "passed_over": standing.old,
        "last_error": standing.error or None,
        "last_error_at": _instant(standing.error_at_ms),
        "recent": [{**one, "at": _instant(one["at"])} for one in standing.recent],
    }


def _for_people(told: dict[str, Any]) -> Iterator[str]:
    state = "  DISABLED: it said that it is gone" if told["disabled"] else ""
    yield f"{told['endpoint']}  {told['kind']} to {told['place']}{state}"
    yield (
        f"    {told['waiting']:,} waiting, {told['delivered']:,} delivered, {told['failed']:,} failed, "
        f"{told['dropped']:,} dropped, {told['passed_over']:,} passed over as old news"
    )
    if told["waiting"]:
        yield f"    the oldest since {told['waiting_since']}; next attempt {told['next_at']}"
    if told["last_error"]:
        yield f"    last error {told['last_error_at']}: {told['last_error']}"


def _because(detail: str) -> str:
    return f", {detail}" if detail else ""


def _instant(milliseconds: int | None) -> str | None:
    return format_instant(milliseconds) if milliseconds else None


def _cause() -> dict[str, str]:
    return {"source": "nexus", "event_id": "trial", "ingested_at": format_instant(_now_ms())}


def _now_ms() -> int:
    return int(time.time() * 1000)
