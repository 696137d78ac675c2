"""The error tree."""

import inspect
import re

from schemas import errors


def test_the_drawn_tree_is_the_real_one() -> None:
    """Every error class stands in the drawing, below the class that it is derived from."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"( +[│ ]*(?:[├└]── )?)([A-Z]\w+)(?:  |$)", line):
            depth, name = len(match[1]), match[2]
            above = [each for each in above if each[0] < depth]
            drawn[name] = above[-1][1] if above else "Exception"
            above.append((depth, name))
    real = {
        name: each.__bases__[0].__name__
        for name, each in inspect.getmembers(errors, inspect.isclass)
        if each.__module__ == errors.__name__
    }
    assert drawn == real


def test_a_bad_message_reads_as_reason_and_detail() -> None:
    """The text of a `BadMessage` is what people see in logs: the code, then where and which rule."""
    error = errors.BadMessage("limit", "event_id: longer than 256 bytes")
    assert str(error) == "limit: event_id: longer than 256 bytes"
    assert (error.reason, error.detail) == ("limit", "event_id: longer than 256 bytes")
