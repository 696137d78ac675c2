"""The formats that messages come in: one file per source, its raw shape and its mapping to events.

To add a source, add a file with a `Format` and a line to `FORMATS`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

from schemas.events import Decoded, Json, Message
from schemas.identifiers import MakeIdentifier
from schemas.sources.event import CanonicalEvent
from schemas.sources.gmail import GmailMessages
from schemas.sources.google_calendar import CalendarEvents
from schemas.sources.segment import SegmentCalls
from schemas.sources.shopify import ShopifyWebhooks
from schemas.sources.stripe import StripeWebhooks


class Format(Protocol):
    """Maps one message of a source to events.

    `events` is a pure function of its arguments. It raises `BadMessage` where the whole message is at fault,
    and nothing else.
    """

    @property
    def name(self) -> str:
        """How topics, headers and `--as` call the format."""

    def events(self, payload: Json, message: Message, make: MakeIdentifier) -> Decoded:
        """The events of a message whose value was parsed to `payload`, their identifiers made by `make`."""


_ALL: Final[tuple[Format, ...]] = (
    CanonicalEvent(),
    SegmentCalls(),
    StripeWebhooks(),
    GmailMessages(),
    CalendarEvents(),
    ShopifyWebhooks(),
)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType({each.name: each for each in _ALL})
