"""From the bytes of a message to events: the one door through which input comes in."""

from schemas.assembly import ingestion_instant
from schemas.errors import BadMessage
from schemas.events import FORMAT_HEADER, MAX_MESSAGE_BYTES, Decoded, Message
from schemas.identifiers import MakeIdentifier, identifier
from schemas.sources import FORMATS, Format
from schemas.strict_json import parse

__all__ = ["Decoded", "decode", "format_of"]


def decode(message: Message, format_name: str | None, make: MakeIdentifier = identifier) -> Decoded:
    """What the message says. Never raises: bad input is a value, and no producer can stop the stream.

    The message's own header `nexus-format` wins over `format_name`, which is what its topic or `--as` says.
    `make` makes the identifiers: `Rules.identifier` of the namespace's rules.
    Takes time linear in the message's length.
    """
    try:
        return _decode(message, format_name, make)
    except BadMessage as problem:
        return Decoded((), problem.with_traceback(None))
    except Exception as error:  # noqa: BLE001 - the promise is that nothing a producer sends can stop the stream
        # Only a bug of ours comes here. One dead letter that names it beats a crash loop on the same message.
        return Decoded((), BadMessage("unexpected", f"message: {type(error).__name__} while reading it"))


def format_of(message: Message, format_name: str | None) -> str | None:
    """The name of the format that the message is read as, known or not."""
    named = message.header(FORMAT_HEADER) if message.headers else None
    return format_name if named is None else named.decode("utf-8", "replace")


def _decode(message: Message, format_name: str | None, make: MakeIdentifier) -> Decoded:
    text = message.value
    if text is None:
        raise BadMessage("tombstone", "message: it has no value")
    if len(text) > MAX_MESSAGE_BYTES:
        raise BadMessage("limit", "message: longer than 1 MiB")
    chosen = _format(format_of(message, format_name))
    ingestion_instant(message)
    return chosen.events(parse(text), message, make)


def _format(name: str | None) -> Format:
    if name is None:
        raise BadMessage("unknown-format", "message: neither its topic nor a header says which format it has")
    try:
        return FORMATS[name]
    except KeyError:
        raise BadMessage("unknown-format", f"message: its format is none of {', '.join(FORMATS)}") from None
