"""Which transitions a rule means: conditions in CEL, the Common Expression Language (https://cel.dev).

The library is the one of CEL's own makers: conditions are checked for types when they are read, cost some
microseconds each, and cannot run away (regular expressions are RE2's).
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from cel_expr_python import cel

_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+)")


class Conditions:
    """Named conditions on one transition, which is the variable `transition`, a map as in its JSON.

    ValueError, with the column, for what is no expression, or cannot be true or false.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._env = cel.NewEnv(variables={"transition": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
        self._compiled = {name: self._compile(text) for name, text in texts.items()}

    def _compile(self, text: str) -> Any:
        try:
            compiled = self._env.compile(text)
        except Exception as error:  # noqa: BLE001 -- the library raises what it likes
            raise ValueError(_in_one_line(str(error))) from None
        if compiled.return_type().name() not in ("BOOL", "DYN"):
            raise ValueError("must be true or false, and is neither")
        return compiled

    def true_of(self, transition: dict[str, Any]) -> list[str]:
        """The names of those that are true. What cannot be computed, as of a field that this transition does
        not have, is not true.
        """
        activation = self._env.Activation({"transition": _in_64_bits(transition)})
        return [name for name, compiled in self._compiled.items() if _holds(compiled, activation)]


def _in_64_bits(value: Any) -> Any:
    """The same with whole numbers as CEL has them; larger ones are rounded. With one that is too large no
    condition on the transition could be computed, whatever it asks.
    """
    match value:
        case dict():
            return {name: _in_64_bits(one) for name, one in value.items()}
        case list():
            return [_in_64_bits(one) for one in value]
        case int() if abs(value) >= 2**63:
            return float(value) if abs(value) < 2**1023 else math.inf if value > 0 else -math.inf
    return value


def _holds(compiled: Any, activation: Any) -> bool:
    try:
        return compiled.eval(activation).value() is True
    except Exception:  # noqa: BLE001 -- an evaluation that fails raises what the library likes
        return False


def _in_one_line(error: str) -> str:
    """The compiler's first complaint, without the picture below it."""
    found = _ERROR.search(error)
    if found is None:
        return f"is no expression: {' '.join(error.split())[:200]}"
    return f"is no expression: column {found[2]} of line {found[1]}: {found[3][:200]}"
