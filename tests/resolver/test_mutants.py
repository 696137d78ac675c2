"""The tests of the answer would notice: break a line of the Lua, and store and reference disagree."""

import random
from collections.abc import Iterator, Sequence
from itertools import permutations

import pytest
import redis

from resolver.store import Command
from schemas.events import Event
from schemas.rules import Rules
from tests.resolver import test_all_rules, test_redis_store
from tests.resolver.histories import RULES, Pair, command, event
from tests.resolver.mutants import NOTICED, rewrite

SEED = 7

MUTANTS = {
    # known, merge, unite, write: what one link does
    "the fence is open": ("if (offsets[i] or '') ~= ARGV[FIRST_MOVE + 3 * i - 2] then", "if false then"),
    "positions compare the wrong way": ("if x ~= y then return x < y end", "if x ~= y then return x > y end"),
    "ties are not broken by the key": ("return before(key_a, key_b) end", "return before(key_b, key_a) end"),
    "older evidence is ignored": (
        "if first > first_seen or (first == first_seen",
        "if true or (first == first_seen",
    ),
    "the end of a link does not move": ("if last > last_seen then", "if false then"),
    "the first of several homes only": (
        "  for _, slot in ipairs(homes) do\n    if slot ~= host",
        "  for _, slot in ipairs({homes[1]}) do\n    if slot ~= host",
    ),
    "the younger id survives": (
        "return senior(slots[a].position, slots[a].senior, slots[b].position, slots[b].senior)",
        "return senior(slots[b].position, slots[b].senior, slots[a].position, slots[a].senior)",
    ),
    "nobody is renamed": ("  relabel(link, slot, keys[1])\n", "\n"),
    "sizes are not added": ("entity.size = entity.size + gone.size", "entity.size = entity.size"),
    "merges are not told": ("    tell.merged(link, id, slots", "    local _ = (link and slots"),
    "additions are not told": ("if not is_born then tell.added", "if false then tell.added"),
    "links are not attached": ("node.links, node.older = append(node.links, node.older, link.handle)", ""),
    "members are forgotten": ("entity.members, entity.older = append(entity.members, entity.older, key)", ""),
    "synonyms are not asked": ("if not has_synonyms then return end", "do return end"),
    "synonyms are not kept": ("save(SYNONYMS, new_synonyms)", ""),
    "slots are not written": ("save(SLOTS, slot_records)", ""),
    "links are not written": ("save(LINKS, changed_links)", ""),
    "nodes are not written": ("save(NODES, node_records)", ""),
    "offsets are not written": ("save(OFFSETS, moved)", ""),
    "numbers stand still": ("string.format('%.0f', number + n_made)", "string.format('%.0f', number)"),
    "what waits is not counted": ("'pending', pending + n_made", "'pending', pending"),
    # count, leave: limits
    "a limit allows one more": (
        "if most and most > limit.most then",
        "if most and most > limit.most + 1 then",
    ),
    "partners of any type count": (
        "if other ~= key and (kind == '' or type_of(link.names[i]) == kind) then",
        "if other ~= key then",
    ),
    "a partner counts each time": (
        "if added.seen[other] or holds(list, other) then return false end",
        "",
    ),
    "the reason is that of arrival": ("if offer(group, other, link.position) then", "if false then"),
    "partners are not kept by age": (
        "table.insert(oldest, place_of(oldest, key, position), {key, position})",
        "table.insert(oldest, {key, position})",
    ),
    "older evidence of a partner is ignored": (
        "if former and not before(position, former) then return false end",
        "if former then return false end",
    ),
    "released ones are counted": (
        "if not node.released and not node.blocked then count_against",
        "if not node.blocked then count_against",
    ),
    "all partners of the past are forgotten": (
        "quarantine[key][limit.partner_type] = oldest_partners(key, limit)",
        "quarantine[key][limit.partner_type] = {most = limit.most, oldest = {}}",
    ),
    "who leaves leaves no trace": (
        "if slot ~= 0 then dirty[slot] = dirty[slot] or cause end\n  is_left",
        "is_left",
    ),
    "who leaves stays in its slot": (
        "node.slot, dirty_nodes[key] = 0, true",
        "dirty_nodes[key] = true",
    ),
    "a partner counts twice in a call": ("if added.seen[other] or holds(", "if holds("),
    "partners that come late are not looked at": (
        "if not senior(position, key, last_position, last_key) then return false end",
        "do return false end",
    ),
    # resolve, what is judged
    "what is tied is not judged": (
        "if dirty[slot] or entity.tied then return true end",
        "if dirty[slot] then return true end",
    ),
    "togethers are not asked": (
        "if is_free[key] or marked(key, 't') then return true end",
        "if is_free[key] then return true end",
    ),
    "entities that are to be apart meet": ("return aparts > 1", "return false"),
    "apart is not noted": ("if marked(key, 'a') then entity.apart = true end", ""),
    "two values meet": ("if meet(kind, key) then return true end", "meet(kind, key)"),
    "a block before the first event is lost": ("blocked = marked(key, 'b') ~= nil", "blocked = false"),
    "a release before the first event is lost": ("released = marked(key, 'r') ~= nil", "released = false"),
    "the erased are let in": (
        "local refusal = refuse_erased(load_nodes(links), {})",
        "local refusal = load_nodes(links) and false",
    ),
    # gather, judge: what is resolved anew
    "nobody else is reached": ("for _, key in ipairs(others) do reach(key, cause) end", ""),
    "who left ties nobody": ("or (node and is_left[key] and has_suspended)", ""),
    "ties of operators are not followed": (
        "if entry.what == 't' then others[#others + 1] = entry.other end",
        "",
    ),
    "links in any order": ("if constrained then table.sort(edges, comes_first) end", ""),
    "links before operators": (
        "if a.rank ~= b.rank then return a.rank < b.rank end",
        "if a.rank ~= b.rank then return a.rank > b.rank end",
    ),
    "oldest operator first": (
        "then return before(b.position, a.position) end",
        "then return before(a.position, b.position) end",
    ),
    "youngest link first": (
        "if a.first_ms ~= b.first_ms then return a.first_ms < b.first_ms end",
        "if a.first_ms ~= b.first_ms then return a.first_ms > b.first_ms end",
    ),
    "unique types are not": ("if value and held and held ~= value then return 'u' .. kind end", ""),
    "apart is not": ("return least and 'a' .. least", "return nil"),
    "values are not carried over": ("        values_at[host][kind] = key\n", "\n"),
    # rebuild, announce: what comes out
    "parts are called after anybody": (
        "if n ~= piece.senior and is_senior(n, piece.senior) then piece.senior = n end",
        "",
    ),
    "a part is called after its first piece": (
        "if is_senior(piece.senior, part.oldest) then part.oldest = piece.senior end",
        "",
    ),
    "members that are only read are not pointed": (
        "repointed[n_pairs + 1], repointed[n_pairs + 2] = key, packed .. string.sub(record, 5)",
        "",
    ),
    "who is outside stays outside": (
        "for _, at in ipairs(outside) do ends[at] = number_of[ends[at]] or ends[at] end",
        "",
    ),
    "nobody is tied": ("for _, r in ipairs(one.roots) do part_of[root(r)].tied = true end", ""),
    "nodes stay where they were": (
        "if piece.slot == part.home then used[slot_of[n]] = true else point(n, part.home, packed) end",
        "used[slot_of[n]] = true",
    ),
    "old slots stay": ("if not in_use[slot] and not kept[slot] then slots", "if false then slots"),
    "slots that are used go": ("if not in_use[slot] and not kept[slot] then", "if not kept[slot] then"),
    "who left is not told": ("  announce.left()\n", "\n"),
    "splits are not told": (
        "tell.split(cause, was, id, told, n, announce.keys_at(piece.numbers))",
        "",
    ),
    "pieces that are one are not told": ("if piece ~= oldest then tell.merged", "if false then tell.merged"),
    "who is alone now is not told": (
        "if n > 1 then told = tell.singles(",
        "if false then told = tell.singles(",
    ),
    "who is alone now is nowhere": ("point(n, last_slot, struct.pack('>I4', last_slot))", ""),
    "whoever is alone has a new id": (
        "if n == 1 and alone[1] and alone[1] ~= was then tell.relabelled",
        "if false then tell.relabelled",
    ),
    "who is back is not told": ("if back[key] then tell.released(cause, called, key, back[key]) end", ""),
    "a new name is not told": ("if called ~= id then tell.relabelled", "if false then tell.relabelled"),
    "erasures are not told": ("if wiped[slot] then return tell.erased", "if false then return tell.erased"),
    "who is suspended is not noted": (
        "for field, one in pairs(refused) do suspended_now[field] = one.reason end",
        "",
    ),
    "once suspended, always suspended": ("drop(SUSPENDED, no_longer_suspended)", ""),
    # command, marks: what operators say
    "apart from one side": ("  mark(b, what, command.position, a)\n", "\n"),
    "the last to arrive is right": (
        "if what == 'e' or not before(entry.position, position) then return false end",
        "if what == 'e' then return false end",
    ),
    "released, and not back": ("if was_out then come_back(key, 1) end", ""),
    "unblocked, and not back": ("    come_back(key, 2)\n", "\n"),
    "unblocked, and not counted": ("if recount(key) then", "if false then"),
    "links of the erased stay": ("if link then gone_links[#gone_links + 1] = handle end", ""),
    "whom an erasure touched goes free": ("for _, key in ipairs(command.blocked) do block(key) end", ""),
    "whom only the erased named stays": ("for _, key in ipairs(touched) do prune(key) end", ""),
    "who survives an erasure is not counted": ("for _, key in ipairs(touched) do survive(key) end", ""),
    "fewer partners after an erasure, and not back": ("come_back(key, 4)", ""),
    "a late erasure knows everything": ("if link.ms >= ms then new_pending", "if false then new_pending"),
    "the erased stay": ("drop(NODES, gone_nodes)", ""),
    "marks are not written": ("save(MARKS, mark_records)", ""),
    "quarantines are not written": ("save(QUARANTINE, quarantine_records)", ""),
    "quarantines stay": ("drop(QUARANTINE, cleared)", ""),
    "what is pending is not written": ("save(PENDING, new_pending)", ""),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutant_is_noticed(client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """Some small history tells the broken script from the whole one."""
    rewrite(monkeypatch, *MUTANTS[mutant], within="resolve")
    Pair(client)  # raises where the mutant is to be renewed
    assert not is_right(client)


def test_the_whole_script_is_right(client: "redis.Redis") -> None:
    """The same histories find nothing in the script as it is."""
    assert is_right(client)


def is_right(client: "redis.Redis") -> bool:
    """Whether all agree on a few orders of each shape, on each in one batch, and on long lists."""
    try:
        for rules, history in histories():
            pair = Pair(client, rules=rules)
            for one in history:
                pair.take(one)
                pair.agree()
            pair.is_fenced()
        for shape in test_all_rules.SHAPES.values():
            pair = Pair(client, rules=RULES[shape.rules])
            pair.learn(shape.events)
            pair.agree()
    except NOTICED:
        return False
    return True


def histories() -> Iterator[tuple[Rules, Sequence[Event | Command]]]:
    """Some orders in which the shapes of the other tests can arrive: as they stand there, then at random."""
    draw = random.Random(SEED)
    plain = [
        random.Random(SEED).sample(list(permutations(one)), 6) for one in test_redis_store.SHAPES.values()
    ]
    for shape in test_all_rules.SHAPES.values():
        yield RULES[shape.rules], [*shape.events, *shape.commands]
    for turn in range(5):
        for shape in test_all_rules.SHAPES.values():
            yield RULES[shape.rules], interleaved(draw, shape.events, shape.commands)
        for orders in plain:
            yield Rules(), orders[turn]
    yield Rules(), star("a", 40)
    behind_a_leaf = event(40, ("email=a3@b.test", "user_id=z"))
    bridge = event(50, ("user_id=a", "user_id=b"))
    yield Rules(), [*star("a", 10), behind_a_leaf, *star("b", 35), bridge, LEAF_BLOCKED]


LEAF_BLOCKED = command("block", "email=a3@b.test", ms=60)


def star(hub: str, leaves: int) -> list[Event]:
    """One value that every event names together with one of its own."""
    return [event(n, (f"user_id={hub}", f"email={hub}{n}@b.test")) for n in range(leaves)]


def interleaved(
    draw: random.Random, events: Sequence[Event], commands: Sequence[Command]
) -> list[Event | Command]:
    """Events in a random order, and amid them operator events in their own."""
    order: list[Event | Command] = list(draw.sample(events, len(events)))
    places = sorted(draw.choices(range(len(events) + 1), k=len(commands)))
    for place, one in reversed(list(zip(places, commands, strict=True))):
        order.insert(place, one)
    return order
