"""The grammar of derived states: what is true of an entity when other states of it have certain values.

    formula    = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" formula ")" | comparison
    comparison = name "=" value | name "in" "(" value { "," value } ")" | name ( "<" | ">" ) number
    value      = word | text | number
    word       = a letter or "_", then letters, digits, "_" and "-"       past_due
    text       = anything in single quotes, a quote in it doubled          'past due', 'it''s'
    number     = -1, 0.5, 1e6

Names are words, and `and`, `or`, `not` and `in` are none. A word and a text mean the state's value, a number
means its numeric value. A state that the entity is not in makes a comparison false, whatever it compares.

One tree is read in three ways, as Python, as Lua and as SQL, and says the same in each: numbers are doubles,
texts compare as bytes.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemas.errors import WrongFormula

MAX_FORMULA: Final = 1_000
_MAX_DEPTH: Final = 50
_KEYWORDS: Final = ("and", "or", "not", "in")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_TOKEN: Final = re.compile(
    r"""(?P<gap>\s*)(?:(?P<word>[A-Za-z_][A-Za-z0-9_-]*)
        |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])
        |'(?P<text>(?:[^']|'')*)'
        |(?P<sign>[=<>(),])
        |(?P<end>\Z))""",
    re.ASCII | re.VERBOSE,
)
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_ ")

Value: TypeAlias = str | float
State: TypeAlias = tuple[str | None, float | None]
"""What an entity is in: value and numeric value, as a `StateFact` has them."""


def is_word(text: str) -> bool:
    """Whether a formula can say this without quotes, as every name must be."""
    return _WORD.fullmatch(text) is not None and text not in _KEYWORDS


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name` is one of `values` (sign `=` or `in`), or its number is below or above the only one."""

    name: str
    sign: str
    values: tuple[Value, ...]

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it is true in these states."""
        state = states.get(self.name)
        return state is not None and any(self._compares(state, value) for value in self.values)

    def _compares(self, state: State, value: Value) -> bool:
        if isinstance(value, str):
            return state[0] == value
        number = state[1]
        if number is None:
            return False
        if self.sign in ("=", "in"):
            return number == value
        return number < value if self.sign == "<" else number > value

    def to_lua(self) -> str:
        """The same as an expression of Lua."""
        state = f"s[{lua_text(self.name)}]"
        either = " or ".join(self._lua_of(state, value) for value in self.values)
        return f"({state}~=nil and ({either}))"

    def _lua_of(self, state: str, value: Value) -> str:
        if isinstance(value, str):
            return f"{state}[1]=={lua_text(value)}"
        if self.sign in ("=", "in"):
            return f"{state}[2]=={value!r}"
        return f'type({state}[2])=="number" and {state}[2]{self.sign}{value!r}'

    def to_sql(self, numbers: Iterator[int]) -> str:
        """The same as an expression of SQL, see `Formula.to_sql`."""
        return f"MAX(CASE WHEN comparison = {next(numbers)} THEN 1 ELSE 0 END) = 1"

    def __str__(self) -> str:
        if self.sign == "in":
            return f"{self.name} in ({', '.join(map(_written, self.values))})"
        return f"{self.name} {self.sign} {_written(self.values[0])}"


@dataclass(frozen=True, slots=True)
class Not:
    """The part is not true."""

    part: "Node"

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it is true in these states."""
        return not self.part.holds(states)

    def to_lua(self) -> str:
        """The same as an expression of Lua."""
        return f"(not {self.part.to_lua()})"

    def to_sql(self, numbers: Iterator[int]) -> str:
        """The same as an expression of SQL, see `Formula.to_sql`."""
        return f"NOT ({self.part.to_sql(numbers)})"

    def __str__(self) -> str:
        return f"not ({self.part})" if isinstance(self.part, Several) else f"not {self.part}"


@dataclass(frozen=True, slots=True)
class Several:
    """All parts are true (`and`), or one of them is (`or`). No part joins its own by the same word."""

    word: str
    parts: tuple["Node", ...]

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it is true in these states."""
        each = (part.holds(states) for part in self.parts)
        return all(each) if self.word == "and" else any(each)

    def to_lua(self) -> str:
        """The same as an expression of Lua."""
        return f"({f' {self.word} '.join(part.to_lua() for part in self.parts)})"

    def to_sql(self, numbers: Iterator[int]) -> str:
        """The same as an expression of SQL, see `Formula.to_sql`."""
        return f" {self.word.upper()} ".join(f"({part.to_sql(numbers)})" for part in self.parts)

    def __str__(self) -> str:
        return f" {self.word} ".join(map(self._bracketed, self.parts))

    def _bracketed(self, part: "Node") -> str:
        """`and` binds closer than `or`, so it is only an `or` inside an `and` that needs brackets."""
        return f"({part})" if self.word == "and" and isinstance(part, Several) else str(part)


Node: TypeAlias = Comparison | Not | Several


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was understood. Equal if built alike; `str` is a text that gives the same again."""

    tree: Node

    def __str__(self) -> str:
        return str(self.tree)

    def comparisons(self) -> Iterator[Comparison]:
        """Its comparisons from left to right."""
        waiting: list[Node] = [self.tree]
        while waiting:
            match waiting.pop():
                case Comparison() as comparison:
                    yield comparison
                case Not(part):
                    waiting.append(part)
                case Several(_, parts):
                    waiting.extend(reversed(parts))

    @property
    def names(self) -> tuple[str, ...]:
        """The states that it asks for, each once, in the order in which it does."""
        return tuple(dict.fromkeys(each.name for each in self.comparisons()))

    def holds(self, states: Mapping[str, State]) -> bool:
        """Whether it is true of an entity in these states. A state that is not there compares as false."""
        return self.tree.holds(states)

    def to_lua(self) -> str:
        """The same as an expression of Lua, true or false over a local table `s`: name -> {value, number}.

        A state that the entity is not in is not in `s`; value or number may be nil or anything of another
        type. No text can end its quotes: whatever is no plain letter or digit is written as its bytes.
        """
        return self.tree.to_lua()

    def to_sql(self, numbers: Iterator[int]) -> str:
        """The same as an expression of SQL over a group of rows, one for each comparison that is true.

        Their column `comparison` has the number that the comparison is given here: those of `comparisons`, in
        that order. So no name and no value stands in the text.
        """
        return self.tree.to_sql(numbers)


def parse(text: str) -> Formula:
    """The formula that the text says. WrongFormula where it does not, naming the place and what is expected.

    At most 1,000 characters, also as `str` writes it, and brackets and `not` inside one another 50 deep.
    """
    if len(text) > MAX_FORMULA:
        raise _too_long()
    formula = Formula(_Reading(text).whole())
    if len(str(formula)) > MAX_FORMULA:
        raise _too_long()
    return formula


def _too_long() -> WrongFormula:
    return WrongFormula(MAX_FORMULA + 1, f"at most {MAX_FORMULA:,} characters")


class _Reading:
    """Reads a text from left to right, one function for each line of the grammar."""

    def __init__(self, text: str) -> None:
        self._text, self._depth = text, 0
        self._place, self._end = 0, 0
        self._kind, self._token = "", ""
        self._next()

    def whole(self) -> Node:
        """The one formula that the whole text is."""
        tree = self._several("or")
        if self._kind != "end":
            raise self._expected("and, or, or the end")
        return tree

    def _several(self, word: str) -> Node:
        parts = [self._part(word)]
        while self._took("word", word):
            parts.append(self._part(word))
        return parts[0] if len(parts) == 1 else Several(word, tuple(_flat(word, parts)))

    def _part(self, word: str) -> Node:
        return self._several("and") if word == "or" else self._one()

    def _one(self) -> Node:
        place = self._place
        if self._took("word", "not"):
            return Not(self._deeper(place, self._one))
        if self._took("sign", "("):
            tree = self._deeper(place, lambda: self._several("or"))
            self._take("sign", ")", "and, or, or )")
            return tree
        return self._comparison()

    def _deeper(self, place: int, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise WrongFormula(place + 1, f"brackets and not at most {_MAX_DEPTH} deep")
        tree = read()
        self._depth -= 1
        return tree

    def _comparison(self) -> Comparison:
        name = self._token
        if self._kind != "word" or name in _KEYWORDS:
            raise self._expected("the name of a state, not or (")
        self._next()
        sign = self._token
        if self._took("word", "in"):
            return Comparison(name, "in", self._list())
        if self._took("sign", "="):
            return Comparison(name, "=", (self._value(),))
        if self._took("sign", "<") or self._took("sign", ">"):
            return Comparison(name, sign, (self._number(),))
        raise self._expected("=, <, > or in")

    def _list(self) -> tuple[Value, ...]:
        self._take("sign", "(", "(")
        values = [self._value()]
        while self._took("sign", ","):
            values.append(self._value())
        self._take("sign", ")", ", or )")
        return tuple(values)

    def _value(self) -> Value:
        if self._kind == "number":
            return self._number()
        token = self._token
        if self._kind == "text" or (self._kind == "word" and token not in _KEYWORDS):
            self._next()
            return token
        raise self._expected("a word, a text in single quotes or a number")

    def _number(self) -> float:
        if self._kind != "number":
            raise self._expected("a number")
        number = float(self._token) + 0.0  # -0 becomes 0
        if math.isinf(number):
            raise self._expected("a number that a double can hold")
        self._next()
        return number

    def _took(self, kind: str, token: str) -> bool:
        if (self._kind, self._token) != (kind, token):
            return False
        self._next()
        return True

    def _take(self, kind: str, token: str, expected: str) -> None:
        if not self._took(kind, token):
            raise self._expected(expected)

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._end)
        if match is None:
            begin = len(self._text) - len(self._text[self._end :].lstrip())
            raise WrongFormula(begin + 1, "a name, a value in single quotes, a number or one of = < > ( ) ,")
        self._kind = str(match.lastgroup)
        self._token = match[self._kind].replace("''", "'") if self._kind == "text" else match[self._kind]
        self._place, self._end = match.end("gap"), match.end()

    def _expected(self, what: str) -> WrongFormula:
        return WrongFormula(self._place + 1, what)


def _flat(word: str, parts: list[Node]) -> Iterator[Node]:
    """The parts, where one that joins its own by the same word stands for these."""
    for part in parts:
        if isinstance(part, Several) and part.word == word:
            yield from part.parts
        else:
            yield part


def _written(value: Value) -> str:
    if isinstance(value, str):
        return value if is_word(value) else "'" + value.replace("'", "''") + "'"
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def lua_text(text: str) -> str:
    """A text in Lua's quotes; no text can end them."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03d}" for byte in text.encode()) + '"'
