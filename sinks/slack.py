"""Messages to Slack, or to whatever takes Slack's incoming webhooks (Mattermost, Rocket.Chat, Discord's
`/slack`): a POST of `{"text": ...}`.
"""

from __future__ import annotations

from sinks.http_post import Poster
from sinks.notices import Outcome

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Slack:
    """A NoticeSink that is a channel."""

    def __init__(self, poster: Poster) -> None:
        self._poster = poster

    def send(self, notice_id: str, body: bytes) -> Outcome:
        """Attempt to deliver it. The id has no place in the message."""
        return self._poster.post(body, {"content-type": "application/json", "user-agent": "nexus-resolver"})

    def close(self) -> None:
        """Let go of the connection."""
        self._poster.close()


def escaped(text: str) -> str:
    """Text that cannot mention anybody (`<!channel>`), nor be a link."""
    return text.translate(_ESCAPES)
