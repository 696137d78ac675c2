"""The grammar of derived states: what it says, how it is written, that Lua and SQL say the same as Python."""

from itertools import count
from random import Random

import duckdb
import pytest
import redis

from schemas.errors import WrongFormula
from schemas.formula import MAX_FORMULA, Comparison, Formula, Node, Not, Several, State, is_word, parse

_NAMES = ("billing", "seats", "a-b", "_x9", "Z")
_TEXTS = (
    "past_due",
    "past due",
    "it's",
    "a\\",
    "\\065",
    '"',
    "]]",
    "]==]",
    "\n",
    "\0",
    "é",
    "--",
    "1",
    "nil",
    "",
)
_NUMBERS = (0.0, -1.0, 0.1, 10.0, 1e22, -1.5e-7, 2.0**53)
_LATE: dict[str, State] = {"billing": ("past_due", None), "seats": (None, 12.0)}


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("billing = past_due", True),
        ("billing = 'past_due'", True),
        ("billing = active", False),
        ("billing in (active, past_due)", True),
        ("billing in (active)", False),
        ("seats = 12", True),
        ("seats = 12.0", True),
        ("seats = '12'", False),
        ("seats in (1, 12)", True),
        ("seats > 10", True),
        ("seats > 12", False),
        ("seats < 12.5", True),
        ("seats < -1e3", False),
        ("billing > 0", False),
        ("billing = 0", False),
        ("gone = past_due", False),
        ("gone < 1", False),
        ("not gone = past_due", True),
        ("not billing = past_due", False),
        ("not not billing = past_due", True),
        ("billing = past_due and seats > 20 or seats > 10", True),
        ("billing = past_due and (seats > 20 or seats > 10)", True),
        ("seats > 10 or gone = a and gone = b", True),
        ("(seats > 10 or gone = a) and gone = b", False),
        ("not gone = a and gone = b", False),
        ("not (gone = a and gone = b)", True),
        ("  billing=past_due and(seats>10)", True),
    ],
)
def test_what_a_formula_says(text: str, is_true: bool) -> None:
    """`not` binds closest, then `and`, then `or`; what the entity is not in compares as false."""
    assert parse(text).holds(_LATE) is is_true


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("", 1, "the name of a state, not or ("),
        ("and", 1, "the name of a state"),
        ("'a' = b", 1, "the name of a state"),
        ("a", 2, "=, <, > or in"),
        ("a ==  b", 4, "a word, a text in single quotes or a number"),
        ("a = and", 5, "a word"),
        ("a = b c", 7, "and, or, or the end"),
        ("a = b)", 6, "and, or, or the end"),
        ("(a = b", 7, "and, or, or )"),
        ("a < b", 5, "a number"),
        ("a > '3'", 5, "a number"),
        ("a in b", 6, "("),
        ("a in ()", 7, "a word"),
        ("a in (b", 8, ", or )"),
        ("a in (b,)", 9, "a word"),
        ("a = 'b", 5, "a name, a value in single quotes"),
        ("a = b;", 6, "a name"),
        ("a = 1x", 5, "a name"),
        ("a = 1.", 5, "a name"),
        ("a = é", 5, "a name"),
        ("a = 1e999", 5, "a number that a double can hold"),
        ("not", 4, "the name of a state"),
        ("(" * 51 + "a = b" + ")" * 51, 51, "at most 50 deep"),
        ("not " * 51 + "a = b", 201, "at most 50 deep"),
        ("a = b" + " " * MAX_FORMULA, MAX_FORMULA + 1, "at most 1,000 characters"),
        (" or ".join(["a=b"] * 142), MAX_FORMULA + 1, "at most 1,000 characters"),
    ],
)
def test_what_is_no_formula(text: str, place: int, expected: str) -> None:
    """The refusal names the character, from 1, and what may stand there."""
    with pytest.raises(WrongFormula) as refused:
        parse(text)
    assert refused.value.place == place
    assert expected in refused.value.expected
    assert str(refused.value).startswith(f"at character {place:,}: expected ")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a='b'", "a = b"),
        ("a = 'and'", "a = 'and'"),
        ("a = 'it''s'", "a = 'it''s'"),
        ("a in('b c' ,3.0)", "a in ('b c', 3)"),
        ("a = -0", "a = 0"),
        ("((a = b)) and (c = d and (e = f))", "a = b and c = d and e = f"),
        ("(a = b and c = d) or e = f", "a = b and c = d or e = f"),
        ("a = b and (c = d or e = f)", "a = b and (c = d or e = f)"),
        ("not (a = b)", "not a = b"),
        ("not (a = b or c = d)", "not (a = b or c = d)"),
    ],
)
def test_a_formula_is_written_in_one_way(text: str, canonical: str) -> None:
    """Without what goes without saying, and so that it is the same when it is read again."""
    assert str(parse(text)) == canonical
    assert parse(canonical) == parse(text)


def test_the_names_that_a_formula_asks_for() -> None:
    """Each once, from left to right."""
    assert parse("not (b = 1 or a = c) and b > 3").names == ("b", "a")


def test_words_can_stand_without_quotes() -> None:
    """Letters, digits, _ and -, and none of the grammar's own."""
    assert [is_word(each) for each in ("a-1", "_", "1a", "", "in", "a b", "a\n")] == [True, True] + [
        False
    ] * 5


# at random


def _comparison(random: Random) -> Node:
    sign = random.choice(("=", "in", "<", ">"))
    if sign in ("<", ">"):
        return Comparison(random.choice(_NAMES), sign, (random.choice(_NUMBERS),))
    several = random.randint(1, 3) if sign == "in" else 1
    values = random.choices((*_TEXTS, *_NUMBERS), k=several)
    return Comparison(random.choice(_NAMES), sign, tuple(values))


def _tree(random: Random, depth: int) -> Node:
    kind = random.random()
    if depth == 0 or kind < 0.3:
        return _comparison(random)
    if kind < 0.5:
        return Not(_tree(random, depth - 1))
    word = random.choice(("and", "or"))
    parts = [_tree(random, depth - 1) for _ in range(random.randint(2, 3))]
    flat = [
        each for part in parts
        for each in (part.parts if isinstance(part, Several) and part.word == word else (part,))
    ]  # fmt: skip
    return Several(word, tuple(flat))


def _state(random: Random) -> State:
    value, number = random.choice((None, *_TEXTS)), random.choice((None, *_NUMBERS))
    return value, number


def _states(random: Random) -> dict[str, State]:
    return {name: _state(random) for name in _NAMES if random.random() < 0.7}


def test_any_formula_can_be_written_and_read_again() -> None:
    """Whatever its values hold."""
    random = Random(1)
    for _ in range(2_000):
        formula = Formula(_tree(random, 3))
        if len(str(formula)) <= MAX_FORMULA:
            assert parse(str(formula)) == formula


_ASK = """
local s = {}
for at = 1, #ARGV, 3 do
    s[ARGV[at]] = {ARGV[at + 1] ~= 'none' and string.sub(ARGV[at + 1], 2) or nil, tonumber(ARGV[at + 2])}
end
local truth = %s
if truth ~= true and truth ~= false then return redis.error_reply('neither true nor false') end
return truth and 1 or 0
"""


def _in_lua(client: "redis.Redis", formula: Formula, states: dict[str, State]) -> bool:
    arguments: list[str] = []
    for name, (value, number) in states.items():
        arguments += [name, "none" if value is None else f"={value}", "" if number is None else repr(number)]
    return bool(client.eval(_ASK % formula.to_lua(), 0, *arguments))


def test_lua_says_the_same_as_python(client: "redis.Redis") -> None:
    """On formulas and states at random, with texts that would end any quotes and numbers at their limits."""
    seen = {True: 0, False: 0}
    for seed in range(1_500):
        random = Random(seed)
        formula, states = Formula(_tree(random, 3)), _states(random)
        is_true = formula.holds(states)
        assert _in_lua(client, formula, states) is is_true, f"seed {seed}: {formula}"
        seen[is_true] += 1
    assert min(seen.values()) > 200


def test_sql_says_the_same_as_python() -> None:
    """Of formulas at random, over the numbers of the comparisons that are true, on DuckDB."""
    seen = {True: 0, False: 0}
    with duckdb.connect() as connection:
        for seed in range(500):
            random = Random(seed)
            formula, states = Formula(_tree(random, 3)), _states(random)
            true = [place for place, one in enumerate(formula.comparisons()) if one.holds(states)]
            query = f"SELECT {formula.to_sql(count())} FROM (SELECT UNNEST($true) AS comparison)"
            is_true = formula.holds(states)
            assert connection.execute(query, {"true": true or [-1]}).fetchall() == [(is_true,)], (
                f"seed {seed}"
            )
            seen[is_true] += 1
    assert min(seen.values()) > 70


@pytest.mark.parametrize("text", ["not " * 50 + "a = b", "(" * 50 + "a = b" + ")" * 50])
def test_the_deepest_formula_runs_in_lua(client: "redis.Redis", text: str) -> None:
    """As does the longest, and both do not exhaust the parser of Redis."""
    assert _in_lua(client, parse(text), {"a": ("b", None)})


def test_the_most_deeply_nested_formula_runs_in_lua(client: "redis.Redis") -> None:
    """`or` in `and` in `or`, which keeps all of its brackets."""
    text = "a = b"
    for depth in range(50):
        text = f"({text}) {'and' if depth % 2 else 'or'} a = b"
    formula = parse(text)
    assert _in_lua(client, formula, {"a": ("b", None)})
    assert not _in_lua(client, formula, {})


def test_the_longest_formula_runs_in_lua(client: "redis.Redis") -> None:
    """A thousand characters of `or`."""
    formula = parse(" or ".join(["a = b"] * 111))
    assert _in_lua(client, formula, {"a": ("b", None)})
    assert not _in_lua(client, formula, {})


@pytest.mark.parametrize("value", ["nil", "false", "true", "{}", "7", "'7'"])
def test_lua_is_not_led_astray_by_values_of_another_type(client: "redis.Redis", value: str) -> None:
    """Whatever a table holds in place of a number compares as false, and raises nothing."""
    script = (
        f"local s = {{a = {{{value}, 'x'}}}} return ({parse('a > 1 or a < 1 or a = b').to_lua()}) and 1 or 0"
    )
    assert client.eval(script, 0) == 0
