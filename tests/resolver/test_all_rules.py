"""With all rules and operator events the store still gives the reference's answer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from resolver.store import Command
from schemas.events import Event
from tests.resolver.histories import (
    KEYRING,
    RULES,
    At,
    Pair,
    Said,
    agree_in_every_order,
    command,
    event,
    late_histories,
    ruled_histories,
)


class Shape(NamedTuple):
    """Up to six events and operator events together, under some of the rules."""

    rules: str
    events: Sequence[Event]
    commands: Sequence[Command] = ()


def again(erasure: Command, *, ms: int) -> Command:
    """The erasure of what came back after an erasure."""
    keys = tuple(sorted(KEYRING.reborn(key, erasure.position) for key in erasure.keys))
    return replace(command("erase", ms=ms), keys=keys)


A_ERASED = command("erase", "user_id=a", ms=10)

SHAPES = {
    "a bridge is blocked, and is not": Shape(
        "the defaults",
        [
            event(1, ("user_id=a", "user_id=b")),
            event(2, ("user_id=b", "user_id=c")),
            event(3, ("user_id=c", "user_id=d")),
        ],
        [command("block", "user_id=b", ms=50), command("unblock", "user_id=b", ms=60)],
    ),
    "what events tie is to be apart, then together": Shape(
        "the defaults",
        [
            event(1, ("user_id=a", "user_id=b")),
            event(3, ("user_id=b", "user_id=c")),
            event(2, ("user_id=c", "user_id=a")),
        ],
        [
            command("apart", "user_id=a", "user_id=c", ms=50),
            command("together", "user_id=a", "user_id=c", ms=60),
        ],
    ),
    "togethers that an apart keeps from each other": Shape(
        "the defaults",
        [event(1, ("user_id=a",)), event(2, ("user_id=b", "user_id=d")), event(3, ("user_id=c",))],
        [
            command("together", "user_id=a", "user_id=b", ms=50),
            command("apart", "user_id=a", "user_id=c", ms=51),
            command("together", "user_id=b", "user_id=c", ms=52),
        ],
    ),
    "a shared device is released": Shape(
        "the defaults",
        [
            event(1, ("anonymous_id=k", "user_id=a")),
            event(2, ("anonymous_id=k", "user_id=b")),
            event(3, ("anonymous_id=k", "user_id=c")),
            event(4, ("anonymous_id=k", "user_id=b", "user_id=d")),
        ],
        [command("release", "anonymous_id=k", ms=50)],
    ),
    "a shared device is blocked, then unblocked": Shape(
        "the defaults",
        [event(n, ("anonymous_id=k", f"user_id={value}")) for n, value in enumerate("abcd")],
        [command("block", "anonymous_id=k", ms=50), command("unblock", "anonymous_id=k", ms=60)],
    ),
    "a device of two, seen again": Shape(
        "the defaults",
        [
            event(1, ("anonymous_id=k", "user_id=a")),
            event(2, ("anonymous_id=k", "user_id=b")),
            event(3, ("anonymous_id=k", "user_id=a", "email=a@b.test")),
        ],
        [command("block", "anonymous_id=k", ms=50), command("unblock", "anonymous_id=k", ms=60)],
    ),
    "two limits are crossed at once": Shape(
        "a user has two devices and one other name",
        [
            event(4, ("user_id=a", "anonymous_id=x", "anonymous_id=y", "user_id=b", "user_id=c")),
            event(3, ("user_id=a", "anonymous_id=y", "user_id=c")),
            event(2, ("user_id=b", "user_id=c")),
            event(1, ("user_id=a", "anonymous_id=z")),
        ],
        [command("block", "user_id=c", ms=50), command("release", "user_id=a", ms=60)],
    ),
    "a limit and a degree": Shape(
        "a device has one user, a user three partners",
        [
            event(5, ("user_id=a", "anonymous_id=x")),
            event(4, ("user_id=b", "anonymous_id=x")),
            event(3, ("user_id=a", "email=a@b.test", "anonymous_id=y")),
            event(2, ("user_id=a", "user_id=b")),
        ],
        [command("together", "user_id=a", "email=b@b.test", ms=50), command("block", "user_id=b", ms=60)],
    ),
    "erased in the middle": Shape(
        "the defaults",
        [
            event(1, ("user_id=a", "user_id=b")),
            event(2, ("user_id=b", "user_id=c")),
            event(20, ("user_id=a", "user_id=d")),
            event(30, ("user_id=a", "user_id=b")),
        ],
        [A_ERASED, command("block", "user_id=a", ms=40)],
    ),
    "erased after it came again": Shape(
        "the defaults",
        [
            event(5, ("user_id=a", "user_id=x")),
            event(20, ("user_id=a", "user_id=x")),
            event(6, ("user_id=x", "user_id=y")),
            event(7, ("user_id=p", "user_id=q")),
        ],
        [A_ERASED],
    ),
    "erased twice": Shape(
        "the defaults",
        [
            event(5, ("user_id=a", "user_id=b")),
            event(20, ("user_id=a", "user_id=b")),
            event(40, ("user_id=a", "user_id=b")),
            event(6, ("user_id=b",)),
        ],
        [A_ERASED, again(A_ERASED, ms=30)],
    ),
    "erased with whom it shared a device": Shape(
        "the defaults",
        [
            event(1, ("anonymous_id=k", "user_id=a")),
            event(2, ("anonymous_id=k", "user_id=b")),
            event(3, ("anonymous_id=k", "user_id=c")),
            event(4, ("user_id=b", "user_id=d")),
        ],
        [
            command("erase", "user_id=a", ms=10, blocked=("anonymous_id=k",)),
            command("unblock", "anonymous_id=k", ms=50),
        ],
    ),
    "a device is no longer shared": Shape(
        "the defaults",
        [
            event(1, ("anonymous_id=k", "user_id=a")),
            event(2, ("anonymous_id=k", "user_id=b")),
            event(3, ("anonymous_id=k", "user_id=c")),
            event(20, ("anonymous_id=k", "user_id=a")),
        ],
        [A_ERASED, command("apart", "user_id=b", "user_id=c", ms=50)],
    ),
    "who was kept apart is erased": Shape(
        "the defaults",
        [
            event(1, ("user_id=a", "user_id=b")),
            event(2, ("user_id=b", "user_id=c")),
            event(20, ("user_id=a", "user_id=c")),
        ],
        [
            command("apart", "user_id=a", "user_id=c", ms=5),
            command("together", "user_id=a", "user_id=b", ms=6),
            A_ERASED,
        ],
    ),
    "the oldest link comes last": Shape(
        "one user id a person",
        [
            event(9, ("user_id=a", "email=x@b.test")),
            event(8, ("user_id=b", "email=x@b.test")),
            event(7, ("user_id=a", "email=y@b.test")),
            event(1, ("user_id=b", "email=y@b.test")),
        ],
        [command("together", "user_id=a", "user_id=b", ms=50)],
    ),
    "two unique types": Shape(
        "one user id and one device a person",
        [
            event(3, ("user_id=a", "anonymous_id=x")),
            event(2, ("user_id=a", "anonymous_id=y")),
            event(4, ("user_id=b", "anonymous_id=x", "email=a@b.test")),
            event(1, ("email=a@b.test", "anonymous_id=y")),
        ],
        [command("together", "anonymous_id=x", "email=a@b.test", ms=50)],
    ),
    "operator events that come out of their order": Shape(
        "the defaults",
        [event(1, ("user_id=a", "user_id=b")), event(2, ("user_id=b", "user_id=c"))],
        [
            command("block", "user_id=b", ms=60),
            command("unblock", "user_id=b", ms=50),
            command("apart", "user_id=a", "user_id=c", ms=40),
            command("together", "user_id=a", "user_id=c", ms=30),
        ],
    ),
    "a suspended alias": Shape(
        "one user id a person",
        [
            event(4, ("previous_id=a", "user_id=b")),
            event(3, ("user_id=a",)),
            event(2, ("anonymous_id=a", "user_id=c")),
            event(5, ("user_id=b",)),
        ],
        [
            command("block", "user_id=b", ms=50),
            command("apart", "anonymous_id=a", "previous_id=a", ms=60),
        ],
    ),
    "an alias of whom was erased": Shape(
        "the defaults",
        [
            event(1, ("previous_id=a", "user_id=b")),
            event(2, ("user_id=a",)),
            event(20, ("user_id=a", "email=a@b.test")),
            event(21, ("previous_id=a",)),
        ],
        [A_ERASED, command("apart", "user_id=b", "email=a@b.test", ms=50)],
    ),
    "everything in two events": Shape(
        "everything at once",
        [
            event(5, ("user_id=a", "anonymous_id=x", "email=a@b.test"), ("user_id=b", "anonymous_id=x")),
            event(4, ("user_id=c", "anonymous_id=x"), ("user_id=b", "email=a@b.test", "previous_id=a")),
            event(3, ("user_id=a", "anonymous_id=y"), ("user_id=c", "email=a@b.test")),
        ],
        [
            command("release", "anonymous_id=x", ms=50),
            command("apart", "user_id=a", "email=a@b.test", ms=51),
            command("erase", "user_id=c", ms=52),
        ],
    ),
}


@pytest.mark.parametrize(
    ("rules", "examples"), [(name, 500 if "everything" in name else 50) for name in RULES]
)
def test_random_histories(client: "redis.Redis", rules: str, examples: int) -> None:
    """After every batch and every operator event of a random history, store, reference and consumer agree."""

    @settings(max_examples=examples, print_blob=True)
    @given(history=ruled_histories)
    def histories_agree(history: list[list[Event] | Said]) -> None:
        pair = Pair(client, rules=RULES[rules])
        for one in history:
            if isinstance(one, Said):
                pair.say(one)
            else:
                pair.learn(one)
            pair.agree()

    histories_agree()


@settings(max_examples=60, print_blob=True)
@given(history=ruled_histories, one_call=st.sampled_from((1, 4, 10)))
def test_bounded_calls(client: "redis.Redis", history: list[list[Event] | Said], one_call: int) -> None:
    """What is too large for one call comes to the same in several."""
    pair = Pair(client, rules=RULES["everything at once"], one_call=one_call)
    for one in history:
        if isinstance(one, Said):
            pair.say(one)
        else:
            pair.learn(one)
        pair.settle()
        pair.agree()


@pytest.mark.parametrize("rules", ["the defaults", "everything at once"])
def test_late_histories(client: "redis.Redis", rules: str) -> None:
    """Where events arrive that lie below an operator event, all agree on what is not pending."""

    @settings(max_examples=100, print_blob=True)
    @given(history=late_histories)
    def histories_agree(history: list[list[Event] | At]) -> None:
        pair, ms = Pair(client, rules=RULES[rules]), 0
        for one in history:
            if isinstance(one, At):
                ms += one.later_ms + 1
                pair.operate(command(one.kind, *one.names, ms=ms, blocked=one.blocked))
            else:
                pair.learn(one)
            pair.agree()

    histories_agree()


@pytest.mark.parametrize("shape", SHAPES)
def test_every_order(client: "redis.Redis", shape: str) -> None:
    """However events arrive, and operator events in between, all agree after each."""
    rules, events, commands = SHAPES[shape]
    agree_in_every_order(Pair(client, rules=RULES[rules]), events, commands)
