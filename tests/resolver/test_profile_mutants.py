"""The tests of profiles would notice: break a line of the Lua, and store and reference disagree."""

import random

import pytest
import redis

from tests.resolver.histories import Pair
from tests.resolver.mutants import NOTICED, rewrite
from tests.resolver.profile_histories import Tick, a_history
from tests.resolver.test_store_profiles import kept_short, take

SEED = 11
HISTORIES = 80

MUTANTS = {
    # facts
    "the first word on a trait stays": (
        "if one and (before(origin, one.origin)",
        "if one or (before(origin, one.origin)",
    ),
    "of two facts of one instant the last to come counts": (
        "if before(one.origin, origin) or (one.origin == origin and before(one.value, value)) then break end",
        "if facts.instant_of(one.origin) <= facts.instant_of(origin) then break end",
    ),
    "a fact said twice is two": ("if one.origin == origin and one.value == value then return false end", ""),
    "runs are not joined": ("list[from - 1][2] + gap >= first", "list[from - 1][2] >= first"),
    "a late run joins nothing behind it": ("list[to + 1][1] <= last + gap", "false"),
    "the earliest evidence of a membership is lost": ("if is_earlier then known.first = one.first end", ""),
    "a membership that ended goes on": (
        "if is_more then known.last, known.has_ended",
        "if is_more then known.last, _G0",
    ),
    # timelines
    "equal neighbours are told apart": ("(is_first or value ~= current)", "true"),
    "an exit comes after an entry": (
        "return a[2] < b[2]\n    end)\n    return found",
        "return a[2] > b[2]\n    end)\n    return found",
    ),
    "activity does not prevent dormancy": ("run[2] + rule.gap <= now", "run[1] + rule.gap <= now"),
    "what was reached in time is missed": ("if other[2] >= run[1] and other[1] <= deadline", "if false"),
    "what comes too late ends nothing": ("if ends then steps", "if false then steps"),
    "the order of sources is forgotten": ("priority < best_priority or", "false or"),
    # who has them
    "facts of the first identifier": ("if not is_several then return found end", "do return found end"),
    "facts stay where they were": (
        "if slot then\n        found[slot] = found[slot]",
        "if false then\n        found[slot] = found[slot]",
    ),
    "a merge keeps the host's facts": (
        "for _, one in ipairs(parts) do all[#all + 1] = one.slot end\n        found[host]",
        "found[host]",
    ),
    "a renamed id is told anew": ("if step.now then known[step.now] = known[step.gone] end", ""),
    "those in a group are not told of its merges": (
        "local persons = concerned(groups)",
        "local persons = {}",
    ),
    "memberships in an erased group stay": ("if next(profiles.erased) then", "if false then"),
    "facts of erased links stay": ("profiles.said[handle], profiles.is_said[handle] = false, true", ""),
    # what follows
    "what follows from a state is not told": (
        "local names, sorted = touched_states(loud, one.entity_type)",
        "local names, sorted = loud, profiles.sorted({unpack(loud)})",
    ),
    "timers are not set": ("if due > 0 and (set.timer == 0", "if false and (set.timer == 0"),
    "timers go off before they are due": (
        "now then steps[#steps + 1] = {run[2]",
        "now + 1000 then steps[#steps + 1] = {run[2]",
    ),
    "timers are not set again": (
        "        go_off(slot, from, to)\n        profiles.arm(slot,",
        "        go_off(slot, from, to)\n        local _ = (slot,",
    ),
    # what changes nothing
    "the same again, but earlier, changes nothing": (
        "return last_value == value and last < instant",
        "return last_value == value",
    ),
    "something else changes nothing": (
        "return last_value == value and last < instant",
        "return last < instant",
    ),
    "who is back from dormancy is not": ("return run and run[2] + gap > now and 0", "return run and 0"),
    "what should have followed long ago is not told": (
        "return instant + gap > now and instant + gap",
        "return instant + gap",
    ),
    "what was awaited changes nothing": ("return not is_awaited(", "return 0 or not is_awaited("),
    # what is older
    "what is older is forgotten": (
        "    if not list.older then return list end\n",
        "    do return list end\n",
    ),
    "what is older began with its last fact": (
        "value, entered = one.value, instant end",
        "value, entered = one.value, 0 end",
    ),
    "a late fact is put behind what is older": (
        "if list.older and instant <= facts.instant_of(list.last)",
        "if false",
    ),
    "derived states begin with what is at hand": (
        "local is_known = not first[3] and entered",
        "local is_known = false",
    ),
    "since when is not kept": (
        "if facts.has_older(sum) then timelines.note_current",
        "if false then timelines.note_current",
    ),
    "a chunk in the middle of an instant": (
        "facts.instant_of(list[count].origin) == facts.instant_of(list[count + 1].origin) do",
        "false do",
    ),
    "chunks stay": ("if not used[chunk] then gone_lines", "if false then gone_lines"),
    "now stands still": ("redis.call('HSET', META, 'now'", "redis.call('HEXISTS', META, 'now'"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_noticed(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Some small history tells the broken script from the whole one."""
    kept_short(monkeypatch)
    rewrite(monkeypatch, *MUTANTS[mutant], within="learn")
    Pair(client)  # raises where the mutant is to be renewed
    assert not is_right(client)


def test_the_whole_script_is_right(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    """The same histories find nothing in the script as it is."""
    kept_short(monkeypatch)
    assert is_right(client)


def is_right(client: "redis.Redis") -> bool:
    """Whether all agree after every step of some histories."""
    try:
        for seed in range(SEED, SEED + HISTORIES):
            rules, steps = a_history(random.Random(seed), 0.2 if seed % 2 else 0.0, is_long=seed % 3 == 0)
            pair = Pair(client, rules=rules)
            for step in [*steps, Tick(25_000)]:
                take(pair, step)
                pair.agree()
    except NOTICED:
        return False
    return True
