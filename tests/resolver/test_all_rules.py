"""With all rules and operator events the store still gives the reference's answer."""

import pytest
import redis
from hypothesis import given, settings

from schemas.events import Event
from tests.resolver.histories import RULES, Pair, Said, ruled_histories


@pytest.mark.parametrize("rules", RULES)
@settings(max_examples=500, print_blob=True)
@given(history=ruled_histories)
def test_random_histories(client: "redis.Redis", rules: str, history: list[list[Event] | Said]) -> None:
    """After every batch and every operator event of a random history, store, reference and consumer agree."""
    pair = Pair(client, rules=RULES[rules])
    for one in history:
        if isinstance(one, Said):
            pair.say(one)
        else:
            pair.learn(one)
        pair.agree()
