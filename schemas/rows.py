"""Payloads that come as a row of a table: connectors write the vendor's JSON as text into one column."""

from schemas.errors import BadMessage
from schemas.events import Json
from schemas.strict_json import parse


def from_row(payload: Json, column: str) -> Json:
    """What the row holds in this column, parsed where it is text. What has no such column is no row."""
    if not isinstance(payload, dict) or column not in payload:
        return payload
    held = payload[column]
    if not isinstance(held, str):
        return held
    try:
        return parse(held.encode())
    except BadMessage as error:
        raise BadMessage(error.reason, f"{column}: {error.detail}") from None
