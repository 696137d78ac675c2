"""What an endpoint is told: the body of a notice, by the endpoint's kind."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from flows.notices import Endpoint, Rule, filled
from schemas.instants import format_instant
from sinks.mail import one_line
from sinks.slack import escaped


def body_of(endpoint: Endpoint, name: str, rule: Rule, namespace: str, transition: Mapping[str, Any]) -> str:
    """What a rule says of a transition."""
    values = {"transition": transition, "notification": name, "namespace": namespace}

    def words(template: str, escape: Callable[[str], str]) -> str:
        return filled(template, values, escape)

    if endpoint.mail is not None:
        return _json({"subject": words(endpoint.mail.subject, one_line), "text": words(rule.text, str)})
    if endpoint.slack is not None:
        return _json({"text": words(rule.text, escaped)})
    kind, cause = transition["transition"], transition.get("cause", {})
    return _webhook(kind, cause.get("ingested_at"), name, transition)


def digest_of(
    endpoint: Endpoint, namespace: str, since_ms: int, until_ms: int, counts: Mapping[str, int]
) -> str:
    """The digest of a day: how many transitions of each kind there were."""
    since, until = format_instant(since_ms), format_instant(until_ms)
    title = f"Nexus {namespace}: {sum(counts.values()):,} changes since {since[:16].replace('T', ' ')} UTC"
    lines = [f"{count:>9,}  {kind.replace('/', ' of a ')}" for kind, count in sorted(counts.items())]
    if endpoint.mail is not None:
        return _json({"subject": title, "text": "\n".join([title, "", *lines])})
    if endpoint.slack is not None:
        return _json({"text": escaped("\n".join([title, *(line.strip() for line in lines)]))})
    return _webhook("digest", until, "digest", {"since": since, "until": until, "changes": counts})


def _webhook(kind: str, timestamp: str | None, name: str, data: Mapping[str, Any]) -> str:
    return _json({"type": f"nexus.{kind}", "timestamp": timestamp, "notification": name, "data": data})


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
