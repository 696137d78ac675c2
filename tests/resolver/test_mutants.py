"""The tests of the answer would notice: break a line of the Lua, and store and reference disagree."""

import random
from itertools import permutations

import pytest
import redis

from resolver import redis_store
from schemas.errors import StoreCorrupt
from tests.resolver.histories import Pair, event
from tests.resolver.test_redis_store import SHAPES

SEED = 7

MUTANTS = {
    "the fence is open": ("if (offsets[i] or '') ~= ARGV[3 * i + 1] then", "if false then"),
    "positions compare the wrong way": ("if x ~= y then return x < y end", "if x ~= y then return x > y end"),
    "ties are not broken by the key": ("return before(key_a, key_b) end", "return before(key_b, key_a) end"),
    "older evidence is ignored": (
        "if first > first_seen or (first == first_seen",
        "if true or (first == first_seen",
    ),
    "the end of a link does not move": ("if last > last_seen then", "if false then"),
    "the first of several homes only": (
        "  for _, slot in ipairs(homes) do",
        "  for _, slot in ipairs({homes[1]}) do",
    ),
    "the younger id survives": (
        "return senior(slots[a].position, slots[a].senior, slots[b].position, slots[b].senior)",
        "return senior(slots[b].position, slots[b].senior, slots[a].position, slots[a].senior)",
    ),
    "nobody is renamed": ("  relabel(link, slot)\n", "\n"),
    "sizes are not added": ("entity.size = entity.size + gone.size", "entity.size = entity.size"),
    "merges are not told": ("    emit_merged(link, id,", "    local _ = (link and"),
    "additions are not told": ("if not is_born then emit_added", "if false then emit_added"),
    "links are not attached": ("if not link.record then attach(link, slot) end", ""),
    "members are forgotten": ("entity.members, entity.older = append(entity.members, entity.older, key)", ""),
    "synonyms are not asked": ("if has_synonyms then", "if false then"),
    "synonyms are not kept": ("save(SYNONYMS, new_synonyms)", ""),
    "slots are not written": ("save(SLOTS, slot_records)", ""),
    "links are not written": ("save(LINKS, changed_links)", ""),
    "nodes are not written": ("save(NODES, node_records)", ""),
    "offsets are not written": ("save(OFFSETS, moved)", ""),
    "numbers stand still": ("string.format('%.0f', number + n_made)", "string.format('%.0f', number)"),
    "what waits is not counted": ("'pending', pending + n_made", "'pending', pending"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_noticed(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Some small history tells the broken script from the whole one."""
    whole, broken = MUTANTS[mutant]
    script = redis_store.script

    def mutated(*parts: str) -> str:
        text = script(*parts)
        assert "resolve" not in parts or text.count(whole) == 1, (
            "the line is no longer there: renew the mutant"
        )
        return text.replace(whole, broken)

    monkeypatch.setattr(redis_store, "script", mutated)
    assert not is_right(client)


def test_the_whole_script_is_right(client: "redis.Redis") -> None:
    """The same histories find nothing in the script as it is."""
    assert is_right(client)


def is_right(client: "redis.Redis") -> bool:
    """Whether store, reference and consumer agree on a few orders of each shape, and on a list of 40."""
    histories = []
    for shape in SHAPES.values():
        histories += random.Random(SEED).sample(list(permutations(shape)), 6)
    histories.append(tuple(event(n, ("user_id=hub", f"email=leaf{n}@b.test")) for n in range(40)))
    try:
        for history in histories:
            pair = Pair(client)
            for one in history:
                pair.learn([one])
                pair.agree()
            pair.is_fenced()
    except (AssertionError, StoreCorrupt, redis.ResponseError, KeyError):
        return False
    return True
