"""Notifications as they are set: what is refused, with its line, and what a text can hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from flows.matching import Conditions
from flows.notices import Digest, filled, key_of
from flows.settings import Settings, load
from schemas.errors import SettingsError
from schemas.instants import parse_instant
from schemas.transitions import (
    Cause,
    Change,
    EntitiesMerged,
    IdentifierQuarantined,
    NamedIdentifier,
    QuarantineReason,
    StateEntered,
    to_json,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GOOD = f"""
namespace: acme
notifications:
  endpoints:
    crm: {{webhook: "https://crm.example/x", secrets: [{SECRET}]}}
    team:
      mail: {{to: [team@acme.example], sender: nexus@acme.example, host: smtp.acme.example}}
  rules:
    merged:
      when: transition.transition == "entities_merged"
      to: [crm]
"""
ROOT = Path(__file__).resolve().parents[2]


def settings(folder: Path, text: str = GOOD, **environment: str) -> Settings:
    """The settings in a file."""
    (folder / "nexus.yaml").write_text(text)
    return load(environment, folder / "nexus.yaml")


def test_a_file_is_understood(tmp_path: Path) -> None:
    """Endpoints, rules, and how old news may be."""
    found = settings(tmp_path).notifications
    assert [(name, one.kind) for name, one in found.endpoints.items()] == [
        ("crm", "webhook"),
        ("team", "mail"),
    ]
    assert found.max_age_ms(found.rules["merged"]) == 3_600_000


def test_the_template_that_ships_is_understood() -> None:
    """flows/notifications.yaml can be used as it stands."""
    found = load({}, ROOT / "flows" / "notifications.yaml").notifications
    assert "one_customer" in found.rules
    assert found.digest is not None


WRONG = [
    ('"entities_merged"', '"entities_merged', "line 10", "no expression"),
    ('"entities_merged"', "entities_merged", "line 10", "undeclared reference"),
    ('transition.transition == "entities_merged"', 'size("yes")', "line 10", "true or false"),
    ("to: [crm]", "to: [crn]", "line 3", "no endpoint crn"),
    ("https://crm", "http://crm", "line 5", "https://"),
    ("https://crm", "https://ada:pw@crm", "line 5", "without user"),
    ("https://crm", "https://bücher.crm", "line 5", "in ASCII"),
    (SECRET, "whsec_short", "line 5", "whsec_"),
    (f", secrets: [{SECRET}]", "", "line 5", "needs one or more"),
    ("team@acme.example", "Team <team@acme.example>", "line 7", "addresses"),
    ("to: [crm]", "to: [crm]\n      text: '{transition.__class__!r}'", "line 12", "braces"),
    ("to: [crm]", "to: [crm]\n      max_age: soon", "line 12", "1h"),
    ("  rules:", "  digest: {at: '25:00', to: [team]}\n  rules:", "line 8", "08:00"),
    ("merged:", "Merged!:", "line 8", "name"),
]


@pytest.mark.parametrize(("good", "bad", "line", "says"), WRONG, ids=[one[1][:30] for one in WRONG])
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, good: str, bad: str, line: str, says: str
) -> None:
    """One line that says where and what, and no secret."""
    with pytest.raises(SettingsError) as refused:
        settings(tmp_path, GOOD.replace(good, bad))
    said = str(refused.value)
    assert line in said
    assert says in said
    assert "\n" not in said
    assert SECRET not in said


def test_secrets_come_by_the_environment_and_print_as_stars(tmp_path: Path) -> None:
    """Two secrets with a comma; neither they nor the URL is shown."""
    named = {"NEXUS_NOTIFICATIONS__ENDPOINTS__CRM__SECRETS": f"{SECRET},{SECRET}"}
    found = settings(tmp_path, GOOD.replace(f", secrets: [{SECRET}]", ""), **named)
    assert len(found.notifications.endpoints["crm"].secrets) == 2
    for shown in (str(found.shown()), repr(found), found.model_dump_json()):
        assert SECRET not in shown
        assert "crm.example" not in shown


def test_a_text_reads_json_and_nothing_else() -> None:
    """A path into the transition, escaped; no attribute of anything, and nothing where nothing is."""
    values = {"transition": {"cause": {"source": "<b>"}, "list": [1, True], "name": "{namespace}"}}
    text = "{transition.cause.source} {transition.list} {transition.name} {transition.__class__} {{}}"
    assert filled(text, values, lambda one: one.replace("<", "&lt;")) == "&lt;b> 1, true {namespace}  {}"


def test_a_condition_that_cannot_be_computed_is_not_true() -> None:
    """A field that is missing, a value of another type, a number without bounds."""
    conditions = Conditions(
        {
            "missing": 'transition.state_name == "x"',
            "type": "transition.moved > 1",
            "said": "transition.moved",
            "either": 'transition.state_name == "x" || transition.kind == "k"',
            "list": "transition.identifiers.exists(i, i.value.endsWith('@acme.example'))",
        }
    )
    transition = {"kind": "k", "moved": "many", "identifiers": [{"value": "ada@acme.example"}]}
    assert conditions.true_of(transition) == ["either", "list"]


def test_a_number_too_large_for_a_condition_hides_nothing_else() -> None:
    """It is rounded, and what else the transition says is true as before."""
    conditions = Conditions({"kind": 'transition.kind == "k"', "large": "transition.value > 5"})
    for value in (2**80, 10**400):
        assert conditions.true_of({"kind": "k", "value": value}) == ["kind", "large"]
        assert conditions.true_of({"kind": "k", "value": -value}) == ["kind"]
    assert conditions.true_of({"kind": "k", "value": [{"deep": -(2**80)}]}) == ["kind"]


def test_a_digest_is_due_at_its_hour_wherever_the_clocks_change() -> None:
    """The same hour of the day before and after a clock was put forward."""
    digest = Digest(at="08:00", to=("team",), zone="Europe/Berlin")
    first = digest.next_after(parse_instant("2026-03-28T06:59:00Z", "now"))
    second = digest.next_after(first)
    assert first == parse_instant("2026-03-28T07:00:00Z", "due")
    assert second == parse_instant("2026-03-29T06:00:00Z", "due")


def test_a_digest_is_due_once_in_an_hour_that_comes_twice() -> None:
    """Clocks are put back from 03:00 to 02:00: who looks at the second 02:10 waits for the next day."""
    digest = Digest(at="02:30", to=("team",), zone="Europe/Berlin")
    for now, due in (
        ("2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ("2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"),
    ):
        assert digest.next_after(parse_instant(now, "now")) == parse_instant(due, "due")


def examples() -> list[str]:
    """The YAML that docs/notifications.md shows."""
    page = (ROOT / "docs" / "notifications.md").read_text()
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_what_the_page_shows_is_understood(tmp_path: Path) -> None:
    """The examples of docs/notifications.md can be pasted; the second names an endpoint to be added."""
    first, second = examples()
    assert settings(tmp_path, first).notifications.are_set
    team = "  endpoints: {team: {mail: {to: [a@b.example], sender: n@b.example, host: b.example}}}\n"
    found = settings(tmp_path, second + team).notifications
    assert found.digest is not None


def test_the_page_and_the_template_name_the_same_secret() -> None:
    """It says what it is: one to be replaced."""
    told = key_of(found[0]) if (found := re.findall(r"whsec_\w+", examples()[0])) else b""
    assert told == b"replace me by one of your own!"


CAUSE = Cause(source="crm", event_id="e-1", ingested_at="2026-01-05T10:00:00.000Z")
HEAD: dict[str, Any] = {
    "transition_id": "t", "namespace": "n", "generation": 1, "number": 1, "entity_type": "person",
    "entity_id": "per_1", "cause": CAUSE,
}  # fmt: skip


def entered(state_name: str, state_value: str) -> StateEntered:
    """Somebody came into a state."""
    at = "2026-01-05T10:00:00.000Z"
    value: dict[str, Any] = {"state_value": state_value, "state_numeric_value": None}
    return StateEntered(**HEAD, state_name=state_name, **value, state_entered_at=at)


SHIPPED: dict[str, Change] = {
    "one_customer": EntitiesMerged(**HEAD, absorbed_id="per_2", moved=1),
    "shared_identifier": IdentifierQuarantined(
        **HEAD,
        identifier=NamedIdentifier(type="email", value="team@acme.example"),
        reason=QuarantineReason(kind="blocked"),
    ),
    "new_paying_customer": entered("billing_lifecycle", "active"),
    "payment_failed": entered("billing_lifecycle", "past_due"),
    "setup_abandoned": entered("setup", "abandoned"),
    "customer_dormant": entered("activity", "dormant"),
}


def test_each_rule_that_ships_means_what_it_says() -> None:
    """Each rule of flows/notifications.yaml is true of its transition alone, and its text names whom."""
    rules = load({}, ROOT / "flows" / "notifications.yaml").notifications.rules
    assert set(rules) == set(SHIPPED)
    conditions = Conditions({name: rule.when for name, rule in rules.items()})
    for name, transition in SHIPPED.items():
        told = json.loads(to_json(transition))
        assert conditions.true_of(told) == [name]
        text = filled(rules[name].text, {"transition": told}, str)
        assert "per_1" in text or "team@acme.example" in text
        assert "  " not in text
