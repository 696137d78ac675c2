"""Sends what waits, for each endpoint in threads of its own, so that none can hold up another.

The schedule is that of the Standard Webhooks specification: ten attempts over three days.
"""

import hashlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from flows.notices import Endpoint, key_of
from flows.stopping import Stop
from resolver.deliveries import Attempt, Deliveries, Notice
from schemas.errors import TransientError
from schemas.identifiers import encode_parts
from sinks.http_post import Poster
from sinks.mail import Mail, Mailbox
from sinks.notices import NoticeSink, Outcome
from sinks.slack import Slack
from sinks.webhook import Webhook

log = logging.getLogger("nexus.notify")

SCHEDULE_S: Final = (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before each attempt, after the one before it has failed."""

_JITTER = 0.1  # of a pause: or what failed together comes again together
_LATE_S = 12 * 3600  # how much longer than its schedule a notice may take, as when nothing ran for a while
_LOOK_S = 0.5
_AT_ONCE = 32  # notices that are read together, and written down together
_HOLD_S = (0.5, 60.0)  # an endpoint that is down is left alone so long, doubled each time up to the second
_GONE_S = 5.0  # how often it is looked whether an endpoint that is gone is enabled again
_AWAY_S = 1.0  # after the store did not answer


class Sender:
    """Sends to one endpoint, with at most `concurrency` attempts at the same time.

    `is_ours` says whether this process is the one that notifies. While the endpoint is down, one notice at a
    time is tried, with growing pauses, whatever else is due.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        deliveries: Deliveries,
        stop: Stop,
        is_ours: Callable[[], bool],
        schedule_s: Sequence[float] = SCHEDULE_S,
    ) -> None:
        self._name, self._endpoint, self._deliveries, self._stop = name, endpoint, deliveries, stop
        self._is_ours, self._schedule_s = is_ours, schedule_s
        self._settings = fingerprint(endpoint)
        self._turn = threading.Condition()
        self._ready: deque[Notice] = deque()
        self._in_flight: set[str] = set()
        self._writing = threading.Lock()
        self._ended: list[tuple[Notice, Attempt]] = []
        self._failures = self._held_ms = 0
        self._next_look = 0.0
        self._is_known = False
        self._is_disabled = False
        self.delivered = self.looks = 0

    def start(self) -> None:
        """Send until the run ends."""
        for number in range(self._endpoint.concurrency):
            name = f"send-{self._name}-{number}"
            threading.Thread(
                target=self._send, args=(sink_of(self._endpoint),), name=name, daemon=True
            ).start()

    def wake(self, notices: Sequence[Notice] = (), looks: int = -1) -> None:
        """Something new waits: these, or what the store has.

        `looks`: how often the store had been asked before they were enqueued. If it was not asked since, and
        all else that is due is in hand, they are taken as they are.
        """
        with self._turn:
            is_all_in_hand = looks == self.looks and time.monotonic() < self._next_look
            if is_all_in_hand and len(notices) <= _AT_ONCE - len(self._ready):
                self._ready.extend(notices)
            else:
                self._next_look = 0.0
            self._turn.notify_all()

    def recall(self) -> None:
        """Something that waited was taken back: look again what is there."""
        with self._turn:
            self._put_back()

    def _put_back(self) -> None:
        if self._ready:
            self._ready.clear()
            self._next_look = 0.0

    def finish(self, deadline: float) -> None:
        """Wait until nothing is in hand: or what was just delivered would be sent again."""
        with self._turn:
            while self._in_flight and time.monotonic() < deadline:
                self._turn.wait(0.05)

    def _learn(self) -> None:
        """Whether it is disabled, and left alone, by what is written down."""
        if self._is_known:
            return
        standing = self._deliveries.standing(self._name)
        self._is_disabled = standing.disabled == self._settings
        self._held_ms = standing.held_ms
        if standing.disabled and not self._is_disabled:
            self._deliveries.enable(self._name)
            self._held_ms = 0
        self._is_known = True

    def is_quiet(self) -> bool:
        """Whether nothing is in hand, and nothing can be sent just now."""
        with self._turn:
            if self._in_flight:
                return False
            self._learn()
            return self._is_disabled or self._held_ms > _now_ms() or not self._due(1)

    def _send(self, sink: NoticeSink) -> None:
        while not self._stop.requested:
            try:
                self._write()  # what the store did not take
                notice = self._next()
                if notice is not None:
                    self._attempt(sink, notice)
            except TransientError as error:
                log.warning("sending to %s waits: %s", self._name, error)
                self._stop.wait(_AWAY_S)
            except Exception as error:  # a fault of ours: say where, and let the others drain
                if not self._stop.requested:
                    log.exception("sending to %s failed", self._name)
                self._stop.fail(error)
        sink.close()

    def _next(self) -> Notice | None:
        """A notice to attempt, now ours; None after a pause in which there was none."""
        with self._turn:
            pause_s = self._pause()
            if pause_s > 0:
                self._put_back()
                self._turn.wait(pause_s)
                return None
            if not self._ready:
                self._look()
            if not self._ready:
                return None
            notice = self._ready.popleft()
            self._in_flight.add(notice.id)
            return notice

    def _pause(self) -> float:
        """Seconds until it is worth looking."""
        if not self._is_ours():
            self._is_known = False  # the other one writes down how the endpoint is
            return _LOOK_S
        self._learn()
        if self._is_disabled:
            self._is_known = False  # `nexus notifications enable` may say otherwise
            return _GONE_S
        if self._failures and self._in_flight:
            return _LOOK_S
        held_s = min((self._held_ms - _now_ms()) / 1000, _LOOK_S)
        return held_s if self._ready else max(held_s, self._next_look - time.monotonic())

    def _look(self) -> None:
        """Read what is due and in nobody's hands: several at once, for each call costs as much as sending. If
        that is all, there is nothing to look for until something comes or falls due.
        """
        self.looks += 1
        most = len(self._in_flight) + _AT_ONCE
        due = self._due(most)
        ids = [one for one in due if one not in self._in_flight]
        self._ready.extend(self._deliveries.notices(self._name, ids))
        if len(due) < most:
            self._next_look = time.monotonic() + _LOOK_S
        if self._ready:
            self._turn.notify_all()

    def _due(self, most: int) -> list[str]:
        return self._deliveries.due(self._name, _now_ms(), most)

    def _attempt(self, sink: NoticeSink, notice: Notice) -> None:
        outcome = sink.send(notice.id, notice.body.encode())
        with self._turn:
            self._ended.append((notice, self._judge(notice, outcome)))
        self._write()

    def _write(self) -> None:
        """Write down how attempts ended: one thread for all, while the others go on sending, for each call is
        synced to the disk. What is not written down yet stays in hand, so nobody attempts it again.
        """
        while self._ended and self._writing.acquire(blocking=len(self._ended) >= _AT_ONCE):
            try:
                self._write_once()
            finally:
                self._writing.release()

    def _write_once(self) -> None:
        with self._turn:
            ended, self._ended = self._ended, []
        if not ended:
            return  # it was done while this thread waited for its turn
        try:
            self._deliveries.attempted(self._name, ended)
        except BaseException:
            with self._turn:
                self._ended = ended + self._ended  # for the next one who writes
            raise
        self._let_go({notice.id for notice, _ in ended})

    def _let_go(self, ids: set[str]) -> None:
        with self._turn:
            self._in_flight -= ids
            self._turn.notify()

    def _judge(self, notice: Notice, outcome: Outcome) -> Attempt:
        now = _now_ms()
        if outcome.verdict == "delivered":
            self._failures = self._held_ms = 0
            self.delivered += 1
            return Attempt("delivered", now)
        log.info("a notice to %s was not delivered: %s", self._name, outcome.detail)
        if outcome.verdict == "gone":
            self._is_disabled = True
            log.warning(
                "endpoint %s is gone (%s): nothing is sent there any more", self._name, outcome.detail
            )
            return Attempt("gone", now, outcome.detail, settings=self._settings)
        self._hold(now, outcome)
        again_ms = self._again(notice, now, outcome.retry_after_s or 0)
        if again_ms is None:
            return Attempt("failed", now, outcome.detail, held_ms=self._held_ms)
        return Attempt("again", now, outcome.detail, again_ms, self._held_ms)

    def _hold(self, now: int, outcome: Outcome) -> None:
        """Leave the endpoint alone for a while, if it is down."""
        if not outcome.is_down:
            return
        first, longest = _HOLD_S
        pause_s = outcome.retry_after_s or min(first * 2 ** min(self._failures, 10), longest)
        self._failures += 1
        self._held_ms = now + int(pause_s * 1000)
        if self._failures == 1:
            log.warning("endpoint %s is down: %s", self._name, outcome.detail)

    def _again(self, notice: Notice, now: int, asked_s: float) -> int | None:
        """When to try again; None after the last attempt, or when the schedule's time has passed."""
        failed = notice.attempts + 1
        if (
            failed >= len(self._schedule_s)
            or now - notice.since_ms > (sum(self._schedule_s) + _LATE_S) * 1000
        ):
            return None
        pause_s = self._schedule_s[failed] * (1 + random.uniform(0, _JITTER))
        return now + int(max(pause_s, asked_s) * 1000)


def sink_of(endpoint: Endpoint) -> NoticeSink:
    """What sends to an endpoint, for one thread."""
    if endpoint.mail is not None:
        return Mail(_mailbox(endpoint), endpoint.timeout_s)
    poster = Poster(
        endpoint.url or "",
        timeout_s=endpoint.timeout_s,
        allow_private=endpoint.allow_private,
        ca_file=endpoint.ca_file,
    )
    if endpoint.slack is not None:
        return Slack(poster)
    return Webhook(poster, [key_of(secret.get_secret_value()) for secret in endpoint.secrets])


def _mailbox(endpoint: Endpoint) -> Mailbox:
    mail = endpoint.mail
    assert mail is not None
    password = None if mail.password is None else mail.password.get_secret_value()
    where = (mail.to, mail.sender, mail.host, mail.port, mail.tls)
    return Mailbox(*where, mail.user, password, endpoint.ca_file)


def fingerprint(endpoint: Endpoint) -> str:
    """Which settings of the endpoint these are: where it goes and with which secrets."""
    return hashlib.blake2b(encode_parts(*endpoint.fingerprint_parts()), digest_size=8).hexdigest()


def _now_ms() -> int:
    return int(time.time() * 1000)
