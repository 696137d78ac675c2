"""pydantic's complaints as a `BadMessage`: field path and rule, never the input."""

from pydantic import ValidationError

from schemas.errors import BadMessage

_LIMITS = frozenset({"string_too_long", "too_long"})


def refusal(error: ValidationError) -> BadMessage:
    """The first complaint. Models must not use payload keys as paths: traits are checked elsewhere."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "message"
    reason = "limit" if first["type"] in _LIMITS else "schema"
    return BadMessage(reason, f"{path}: {_sentence(first['msg'])}")


def _sentence(text: str) -> str:
    """One line that begins in lower case."""
    line = " ".join(text.split())
    return line[:1].lower() + line[1:]
