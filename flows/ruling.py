"""Other rules: what they would change, and how they come into force.

    with Wiring(settings) as parts:
        ruling = Ruling(parts)
        difference = ruling.difference(rules_from_file(Path("new.yaml")))
        applied = ruling.apply(rules, who="ada", why="a kiosk sees everybody", timeout_s=30)

Rules come into force by an operator event, in the order of the control topic. Whoever reads it changes them
in one call; what the change concerns is then found and settled beside the stream (`resolver.rescan`).
"""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.operator import NothingToDo, Operator
from flows.wiring import Wiring
from resolver.rescan import Forecast, forecast
from resolver.rules_change import RulesChange, RulesRefused
from schemas.operations import Operation
from schemas.rules import Rules

_SETTLED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Difference:
    """What other rules would do now.

    `refused`: what they say that a live namespace cannot take, since only the raw topics could tell what it
    would have given: then there is no forecast. `untold`: what would no longer be blocked, and what it would
    give only the log knows.
    """

    version: str
    is_same: bool
    refused: tuple[str, ...]
    untold: Sequence[Mapping[str, str]]
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class Taken:
    """Rules that were sent. `entities`: how many are not what they were, once it `is_done`."""

    operation_id: str
    is_done: bool
    is_same: bool
    entities: int


class Ruling:
    """Compares other rules with those in force, and brings them into force. Works whatever the settings say.

    Raises SettingsError for rules that cannot be taken, NothingToDo where it would have to wait too long.
    """

    def __init__(self, parts: Wiring) -> None:
        parts.keep_rules_in_force()
        self._parts = parts

    def difference(self, rules: Rules, examples: int = 5) -> Difference:
        """What would change if these rules came into force now. Changes nothing."""
        parts = self._parts
        change = RulesChange((parts.store.rules,), rules)
        untold = [json.loads(each) for each in change.untold]
        is_same = rules.version == parts.store.rules.version
        found = Forecast(examples)
        if not is_same and not change.refused:
            self._wait_until_settled()
            found = forecast(parts.client, parts.settings.namespace, parts.store, rules, examples)
        return Difference(rules.version, is_same, change.refused, untold, found)

    def _wait_until_settled(self) -> None:
        """What is being settled cannot be looked at. Embedded and without a run nobody settles it."""
        restructuring = self._parts.restructuring(lambda _: None)
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while restructuring.is_due():
            if time.monotonic() > deadline:
                raise NothingToDo(
                    "an earlier change is still being settled: try again when `nexus run` has done"
                )
            time.sleep(0.1)

    def apply(self, rules: Rules, who: str, why: str, timeout_s: float | None) -> Taken:
        """Bring these rules into force, and wait until all that they concern is settled."""
        parts = self._parts
        in_force = parts.store.rules
        change = RulesChange((in_force,), rules)
        if change.refused:
            raise RulesRefused(change.refused)
        operator, operation_id = Operator(parts), secrets.token_hex(16)
        operation = Operation(
            "rules", "person", parts.settings.namespace, operation_id, who, why, rules=rules
        )
        operator.check_words(operation)
        is_done = operator.send(operation, timeout_s)
        is_same = rules.version == in_force.version
        return Taken(operation_id, is_done, is_same, parts.store.rescanned() if not is_same else 0)

    def untold(self) -> list[Mapping[str, str]]:
        """What only the log can tell since rules changed."""
        return list(self._parts.store.untold())
