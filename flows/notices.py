"""Notifications as they are set: rules that match transitions, endpoints that are told, a daily digest.

    notifications:
      endpoints:
        crm: {webhook: "https://crm.example/hooks/nexus", secrets: [whsec_...]}
      rules:
        one_customer: {when: 'transition.transition == "entities_merged"', to: [crm]}

docs/notifications.md tells each of them.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from string import Formatter
from typing import Any, Literal, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator, model_validator

from flows.section import Section
from schemas.errors import SettingsError
from schemas.states import duration_ms

Kind = Literal["webhook", "slack", "mail"]

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_FIRST_WORDS = ("transition", "notification", "namespace")
_TEXT = "{notification}: {transition.transition}, {transition.entity_type} {transition.entity_id}"
_SUBJECT = "Nexus {namespace}: {notification}"


def _listed(given: Any) -> Any:
    """A list, also as the environment gives it: `a,b`."""
    return [one.strip() for one in given.split(",")] if isinstance(given, str) else given


class Mail(Section):
    """E-mail through an SMTP server."""

    to: tuple[str, ...] = Field(min_length=1, max_length=50)
    sender: str
    host: str
    port: int = Field(587, ge=1, le=65_535)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    subject: str = _SUBJECT

    _to = field_validator("to", mode="before")(_listed)

    @field_validator("to", "sender")
    @classmethod
    def _addresses(cls, given: Any) -> Any:
        for one in (given,) if isinstance(given, str) else given:
            if not re.fullmatch(r"[\x21-\x7e]+@[\x21-\x7e]+", one):
                raise ValueError("must be addresses like team@acme.example, without names")
        return given

    @field_validator("subject")
    @classmethod
    def _template(cls, subject: str) -> str:
        return checked(subject)

    @model_validator(mode="after")
    def _no_password_in_the_open(self) -> "Mail":
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password needs tls: starttls or tls")
        return self


class Endpoint(Section):
    """Who is told, and how: one of `webhook`, `slack` and `mail`."""

    webhook: SecretStr | None = Field(None, description="URL by the Standard Webhooks specification")
    slack: SecretStr | None = Field(None, description="URL of a Slack-compatible incoming webhook")
    mail: Mail | None = None
    secrets: tuple[SecretStr, ...] = Field((), max_length=5, description="of a webhook; during rotation two")
    allow_private: bool = Field(
        False, description="also private, loopback and link-local addresses, and http"
    )
    ca_file: str | None = Field(None, description="certificates to trust instead of the system's")
    timeout_s: float = Field(15, gt=0, le=60, description="for a whole attempt")
    concurrency: int = Field(4, ge=1, le=32, description="attempts at the same time")
    queue_limit: int = Field(10_000, ge=1, le=1_000_000, description="waiting; beyond, the oldest is dropped")

    _secrets = field_validator("secrets", mode="before")(_listed)

    @field_validator("secrets")
    @classmethod
    def _well_formed(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for secret in secrets:
            key_of(secret.get_secret_value())
        return secrets

    @model_validator(mode="after")
    def _one_kind(self) -> "Endpoint":
        if sum(one is not None for one in (self.webhook, self.slack, self.mail)) != 1:
            raise ValueError("must be one of webhook, slack and mail")
        if (self.webhook is not None) != bool(self.secrets):
            raise ValueError("secrets: a webhook needs one or more, whsec_ and base64; others have none")
        if self.url is not None:
            self._check_url(self.url)
        if self.ca_file is not None and not Path(self.ca_file).is_file():
            raise ValueError("ca_file: there is no such file")
        return self

    def _check_url(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            is_good = bool(parts.hostname) and parts.port != 0 and "@" not in parts.netloc
        except ValueError:
            is_good = False
        if not is_good or parts.scheme not in ("https", "http") or re.search(r"[^\x21-\x7e]", url):
            raise ValueError("the URL must be like https://HOST/PATH, in ASCII, without user or password")
        if parts.scheme == "http" and not self.allow_private:
            raise ValueError("the URL must begin with https://; plain http needs allow_private: true")

    @property
    def kind(self) -> Kind:
        """Which of the three it is."""
        return "webhook" if self.webhook is not None else "slack" if self.slack is not None else "mail"

    @property
    def url(self) -> str | None:
        """Where a webhook or Slack message goes; it may be a secret."""
        secret = self.webhook or self.slack
        return None if secret is None else secret.get_secret_value()

    @property
    def place(self) -> str:
        """Where it goes, for people: of a URL the host alone, for the rest may be a secret."""
        if self.mail is not None:
            return f"{', '.join(self.mail.to)} by {self.mail.host}"
        return str(urlsplit(self.url or "").hostname)

    def fingerprint_parts(self) -> tuple[str, ...]:
        """What makes it another endpoint when it changes."""
        return (self.url or "", *(one.get_secret_value() for one in self.secrets))


class Rule(Section):
    """Which transitions are told to whom, and in which words."""

    when: str = Field(description="CEL expression over `transition`")
    to: tuple[str, ...] = Field(min_length=1, description="names of endpoints")
    text: str = _TEXT
    max_age: str | None = Field(None, description="over that of all notifications")

    _to = field_validator("to", mode="before")(_listed)

    @field_validator("when")
    @classmethod
    def _expression(cls, when: str) -> str:
        from flows.matching import Conditions

        Conditions({"when": when})
        return when

    @field_validator("text")
    @classmethod
    def _template(cls, text: str) -> str:
        return checked(text)

    @field_validator("max_age")
    @classmethod
    def _age(cls, max_age: str | None) -> str | None:
        if max_age is not None:
            milliseconds(max_age)
        return max_age


class Digest(Section):
    """Once a day: what changed since the last one, counted."""

    at: str = Field(description="HH:MM")
    to: tuple[str, ...] = Field(min_length=1, description="names of endpoints")
    zone: str = "UTC"

    _to = field_validator("to", mode="before")(_listed)

    @field_validator("at")
    @classmethod
    def _hour(cls, at: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", at):
            raise ValueError('must be like "08:00", in quotes')
        return at

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a time zone like UTC or Europe/Berlin") from None
        return zone

    def next_after(self, now_ms: int) -> int:
        """The next time it is due, in milliseconds."""
        zone: tzinfo = ZoneInfo(self.zone)
        day = datetime.fromtimestamp(now_ms / 1000, zone).date()
        while True:
            # Compared as instants: of two times of one zone Python compares what the clock shows, and in an
            # hour that comes twice that is in the past and in the future.
            due_ms = int(datetime.combine(day, time.fromisoformat(self.at), zone).timestamp() * 1000)
            if due_ms > now_ms:
                return due_ms
            day += timedelta(days=1)


class Notifications(Section):
    """Everything about notifications. Nothing is sent without endpoints."""

    max_age: str = Field("1h", description="what was caused longer ago is old news and not sent")
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    rules: dict[str, Rule] = Field(default_factory=dict)
    digest: Digest | None = None

    @field_validator("max_age")
    @classmethod
    def _age(cls, max_age: str) -> str:
        milliseconds(max_age)
        return max_age

    @field_validator("endpoints", "rules")
    @classmethod
    def _named(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not _NAME.fullmatch(name) or len(name) > 64:
                raise ValueError(f"{name[:80]}: a name must be like sales or new_customer")
        return named

    @model_validator(mode="after")
    def _known(self) -> "Notifications":
        for where, to in self._addressed():
            for name in to:
                if name not in self.endpoints:
                    raise ValueError(f"{where}.to: there is no endpoint {name}")
        return self

    def _addressed(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        yield from ((f"rules.{name}", rule.to) for name, rule in self.rules.items())
        if self.digest is not None:
            yield "digest", self.digest.to

    @property
    def are_set(self) -> bool:
        """Whether anything is ever sent."""
        return bool(self.rules or self.digest)

    def max_age_ms(self, rule: Rule) -> int:
        """How old the cause of what a rule matches may be."""
        return milliseconds(rule.max_age or self.max_age)


def milliseconds(text: str) -> int:
    """How long `90s`, `15m`, `1h` or `3d` is. ValueError for anything else."""
    found = duration_ms(text)
    if found is None:
        raise ValueError("must be like 90s, 15m, 1h or 3d")
    return found


def key_of(secret: str) -> bytes:
    """The key in a webhook's secret, `whsec_` and base64. ValueError for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes")
    return key


# texts


class _Words(Formatter):
    """Fills a template from JSON alone: no attribute of any object, no index, no format."""

    def __init__(self, escape: Callable[[str], str]) -> None:
        self._escape = escape

    def get_field(self, field_name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[str, str]:
        """The value at a path, escaped; nothing where there is none."""
        value: Any = kwargs
        for part in field_name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return self._escape("" if value is None else _worded(value)), field_name


def _worded(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_worded(one) for one in value)
    if isinstance(value, dict):
        return " ".join(_worded(one) for one in value.values())
    return str(value)


def filled(template: str, values: Mapping[str, Any], escape: Callable[[str], str]) -> str:
    """A template with its values, each escaped for where it goes."""
    return _Words(escape).vformat(template, (), cast("dict[str, Any]", values))


def checked(template: str) -> str:
    """The template, if it can be filled. ValueError with what is wrong."""
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(template)]
    except ValueError as error:
        raise ValueError(f"is no template: {error}; a brace itself is written twice") from None
    for name, spec, conversion in fields:
        if name is not None and (
            name.split(".")[0] not in _FIRST_WORDS or spec or conversion or "[" in name or "{" in name
        ):
            raise ValueError(
                "in braces may stand a path that begins with transition, such as {transition.entity_id}, "
                "notification or namespace"
            )
    return template


def named_endpoint(notifications: Notifications, name: str) -> Endpoint:
    """The endpoint of that name. SettingsError if there is none."""
    try:
        return notifications.endpoints[name]
    except KeyError:
        known = ", ".join(notifications.endpoints) or "none"
        raise SettingsError(f"there is no endpoint {name}; there are: {known}") from None
