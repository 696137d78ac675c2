"""A store, a reference and a consumer whose rules are changed in the middle of a history."""

from typing import NamedTuple

from hypothesis import strategies as st

from resolver.rules_change import RulesChange
from resolver.store import Applied, Move
from schemas.events import Event, log_position
from schemas.rules import Rules
from tests.resolver.histories import RULES, Pair, Said, events, said


def rules(**types: object) -> Rules:
    """Rules of some types, as a file has them."""
    return Rules.from_data({"identifiers": types})


RULES_TO_CHANGE = {
    **RULES,
    "a device may have three users": rules(anonymous_id={"limits": {"user_id": 3}}),
    "an address names one partner": rules(email={"max_degree": 1}, user_id={"max_degree": 5}),
    "the device before the user": rules(anonymous_id={"unique": True}, user_id={"unique": True}),
    "some users are blocked": rules(user_id={"blocked": {"exact": ["a", "b"]}}),
    "users and addresses are blocked, devices unique": rules(
        user_id={"blocked": {"patterns": ["[a-d]"]}},
        email={"blocked": {"exact": ["a@b.test"]}},
        anonymous_id={"unique": True},
    ),
}
"""Rules that are changed into one another. None of them normalises otherwise."""


class Change(NamedTuple):
    """Other rules come into force, by name."""

    rules: str


changes = st.builds(Change, st.sampled_from(sorted(RULES_TO_CHANGE)))

changing_histories = st.lists(
    st.lists(events(), min_size=1, max_size=4) | said() | changes, min_size=1, max_size=12
)
"""Histories in which the rules change."""


class ChangingPair(Pair):
    """Also the rules change, for all three."""

    def change(self, rules: Rules) -> None:
        """Bring other rules into force; what they concern is still to be settled."""
        move = Move("control", 0, self._control, (self._control or 0) + 1)
        self._now = max(self._now, self._latest) + 1
        self._said += 1
        position = log_position(self._now, "nexus-operator", f"r{self._said:04}")
        assert isinstance(self.store.enact(move, rules, position), Applied)
        self._control = move.next
        self._linker = self._linker.under(rules)
        self.rules = self.reference.rules = rules
        self._publish()

    def do(self, one: list[Event] | Said | Change) -> None:
        """Whatever a history has next."""
        if isinstance(one, Change):
            self.change(RULES_TO_CHANGE[one.rules])
        elif isinstance(one, Said):
            self.say(one)
        else:
            self.learn(one)


def blocks(rules: Rules) -> bool:
    """Whether these rules block what the default ones do not."""
    return RulesChange((Rules(),), rules).may_block


def can_tell(former: Rules, rules: Rules) -> bool:
    """Whether the store knows all that such a change needs: not what a value would have given that is no
    longer blocked, nor how values look under another normaliser.
    """
    change = RulesChange((former,), rules)
    return not change.untold and not change.renormalised
