"""Settings: `nexus.yaml`, then the environment. An unknown name is an error, and secrets print as stars.

Every setting can be given as `NEXUS_` and its name in capitals, with two underscores between levels:
`NEXUS_NAMESPACE`, `NEXUS_REDIS__URL`, `NEXUS_KAFKA__BOOTSTRAP_SERVERS` (in the three Kafka sections an
underscore is librdkafka's dot). Rules alone stand only in the file: their order counts, and an error in them
names its line.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import yaml
from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from flows.notices import Notifications
from flows.section import Section
from flows.warehouse_section import Warehouse
from resolver.keys import Keys
from resolver.recent import MOST
from schemas.errors import SettingsError, WrongRule
from schemas.identifiers import Keyring
from schemas.rules import SECTIONS, Rules

DEFAULT_FILE = Path("nexus.yaml")
_PREFIX = "NEXUS_"
_NOT_SETTINGS = ("NEXUS_CONFIG", "NEXUS_TEST_")  # where the file is; what only the tests read
_RULES = "NEXUS_RULES"
_KAFKA_SECTIONS = ("kafka", "consumer", "producer")
_SECRET_WORDS = ("password", "secret", "token", "key.pem", "jaas", "credentials", "oauthbearer.config")
_OURS = {
    "group.id": "set `group` instead",
    "enable.auto.commit": "the offsets live in Redis",
    "enable.auto.offset.store": "the offsets live in Redis",
    "auto.offset.reset": "an expired offset must stop the stream",
    "partition.assignment.strategy": "workers come and go cooperatively",
    "enable.idempotence": "transitions go out in order",
    "partitioner": "one key must live on one partition for every client",
}

Option = str | int | float | bool


class Redis(Section):
    """Where the identity store is. Without a URL a private server runs in the data folder."""

    url: SecretStr | None = None
    options: dict[str, Option] = Field(
        default_factory=dict, repr=False, description="passed to redis-py's from_url"
    )
    relaxed_durability: bool = Field(False, description="a power cut may take back what was published")
    ephemeral: bool = Field(False, description="a trial: no append-only file is asked for")

    @field_validator("url")
    @classmethod
    def _well_formed(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if parts.scheme != "unix" and not _has_numbers(parts):
            raise ValueError("must be like redis://HOST:PORT/0, where port and database are numbers")
        return url


def _has_numbers(parts: SplitResult) -> bool:
    """redis-py takes database 0 for one in words, without a word."""
    try:
        return parts.port != 0 and re.fullmatch(r"/?\d*", parts.path) is not None
    except ValueError:
        return False


class Input(Section):
    """What the namespace reads from Kafka."""

    topics: dict[str, str] = Field(
        default_factory=lambda: {"nexus-events": "event"}, description="topic: format of its messages"
    )
    trust_producer_clocks: bool = Field(False, description="read topics whose timestamps producers set")
    control: str = Field("nexus-operations", description="topic of the operator events, made when missing")

    @field_validator("topics", mode="before")
    @classmethod
    def _from_environment(cls, topics: Any) -> Any:
        """In the environment: `topic=format,topic=format`."""
        if isinstance(topics, str) and "=" in topics:
            pairs = [pair.strip().partition("=") for pair in topics.split(",")]
            return {topic.strip(): format_name.strip() for topic, _, format_name in pairs}
        return topics

    @field_validator("topics")
    @classmethod
    def _some_topic(cls, topics: dict[str, str]) -> dict[str, str]:
        from schemas.sources import FORMATS

        if not topics:
            raise ValueError("name at least one topic")
        for topic, format_name in topics.items():
            if format_name not in FORMATS:
                raise ValueError(f"{topic}: the format must be one of {', '.join(sorted(FORMATS))}")
        return topics


class Output(Section):
    """The topics that Nexus writes, and makes when they are missing."""

    transitions: str = "nexus-transitions"
    dead_letters: str = "nexus-dead-letters"
    partitions: int = Field(8, ge=1, le=10_000, description="of topics that Nexus makes")
    replication_factor: int = Field(1, ge=1, le=16, description="of topics that Nexus makes")


def _as_rules(given: Any) -> Rules:
    """From a file rules come as a value: there they were read with their lines."""
    return given if isinstance(given, Rules) else Rules.from_data(given)


class Settings(Section):
    """Everything that can be set. The defaults run embedded: no Kafka, a private Redis, files in `data`."""

    namespace: str = "default"
    secret: SecretStr | None = None
    data: Path = Path("nexus-data")
    workers: int = Field(1, ge=1, le=64, description="worker threads of flows.resolve")
    batch: int = Field(500, ge=1, le=5000, description="most messages in one atomic call")
    outbox_limit: int = Field(
        1_000_000, ge=1, description="unpublished transitions above which the stream waits"
    )
    recent_events: int = Field(20, ge=0, le=MOST, description="events that are remembered of each link")
    stall_alarm_s: float = Field(60, gt=0, description="seconds without progress after which a run warns")
    group: str | None = Field(None, description="consumer group; default nexus-NAMESPACE")
    redis: Redis = Redis()
    kafka: dict[str, Option] = Field(
        default_factory=dict, repr=False, description="librdkafka options of every client"
    )
    consumer: dict[str, Option] = Field(
        default_factory=dict, repr=False, description="librdkafka options of consumers"
    )
    producer: dict[str, Option] = Field(
        default_factory=dict, repr=False, description="librdkafka options of producers"
    )
    input: Input = Input()
    output: Output = Output()
    rules: Annotated[Rules, PlainValidator(_as_rules), PlainSerializer(Rules.as_data)] = Field(
        default_factory=Rules, description="of identity, traits and states: see docs/rules.md"
    )
    notifications: Notifications = Notifications()
    warehouse: Warehouse = Warehouse()

    @field_validator(*_KAFKA_SECTIONS)
    @classmethod
    def _not_ours(cls, options: dict[str, Option]) -> dict[str, Option]:
        for name in options:
            if name in _OURS:
                raise ValueError(f"{name} is not yours to set: {_OURS[name]}")
        return options

    @model_validator(mode="after")
    def _names(self) -> "Settings":
        Keys(self.namespace)
        if self.secret is not None:
            Keyring(self.namespace, self.secret.get_secret_value().encode())
        return self

    @model_validator(mode="after")
    def _an_address(self) -> "Settings":
        """Who sets anything of Kafka does not mean to run without it."""
        if (self.kafka or self.consumer or self.producer) and not self.kafka.get("bootstrap.servers"):
            raise ValueError("kafka.bootstrap.servers: name the brokers, as in localhost:9092")
        return self

    @model_validator(mode="after")
    def _topics_apart(self) -> "Settings":
        """A stream that reads what it writes would never end."""
        named = [
            self.output.transitions, self.output.dead_letters, self.input.control, *self.input.topics
        ]  # fmt: skip
        if len(set(named)) != len(named):
            raise ValueError(
                "input.topics, input.control, output.transitions and output.dead_letters must be different "
                "topics"
            )
        return self

    @property
    def source(self) -> Literal["kafka", "log"]:
        """Where the input is: Kafka when it has an address, else the log in the data folder."""
        return "kafka" if "bootstrap.servers" in self.kafka else "log"

    @property
    def warehouse_engine(self) -> Literal["duckdb", "bigquery", "snowflake", "none"]:
        """What keeps the event log."""
        return self.warehouse.engine or ("duckdb" if self.source == "log" else "none")

    @property
    def group_id(self) -> str:
        """The consumer group of flows.resolve."""
        return self.group or f"nexus-{self.namespace}"

    def keyring(self) -> Keyring:
        """The namespace's keys."""
        return Keyring(self.namespace, self.secret.get_secret_value().encode() if self.secret else None)

    def shown(self) -> dict[str, Any]:
        """The settings for people: secrets as stars."""
        shown = self.model_dump(mode="json")
        if self.redis.url is not None:
            parts = urlsplit(self.redis.url.get_secret_value())
            host = parts.netloc.rpartition("@")[2]
            shown["redis"]["url"] = (
                f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}"
            )
        for section in _KAFKA_SECTIONS:
            _hide(shown[section])
        _hide(shown["redis"]["options"])
        return shown


def _hide(options: dict[str, Any]) -> None:
    for name in options:
        if any(word in name for word in _SECRET_WORDS):
            options[name] = "***"


def load(environment: Mapping[str, str] = os.environ, file: Path | None = None, **given: Any) -> Settings:
    """The settings from a file, the environment, and what the command line gave, each over the one before.

    The file is `file`, else the one that NEXUS_CONFIG names, else `nexus.yaml` when there is one. Raises
    SettingsError with one line that names the setting and what is allowed.
    """
    named = file or (Path(environment["NEXUS_CONFIG"]) if "NEXUS_CONFIG" in environment else None)
    values = _from_file(named)
    for name, value in environment.items():
        if name.startswith(_PREFIX) and not name.startswith(_NOT_SETTINGS):
            if name.startswith(_RULES):
                raise SettingsError(f"{name}: rules stand in the settings file, see docs/rules.md")
            _put(values, name.removeprefix(_PREFIX).lower().split("__"), value, name)
    for name, value in given.items():
        if value is not None:
            _put(values, name.split("__"), value, name)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_line_of(error, named) + _one_line(error)) from None


def _line_of(error: ValidationError, named: Path | None) -> str:
    """Where the first fault stands, if it is in the notifications of the file: they are long."""
    path, where = named or DEFAULT_FILE, error.errors(include_url=False, include_input=False)[0]["loc"]
    if where[:1] != ("notifications",) or not path.exists():
        return ""
    line = _line(_text(path), where)
    return f"{path} line {line}: " if line > 1 or len(where) == 1 else ""


def _from_file(named: Path | None) -> dict[str, Any]:
    if named is None and not DEFAULT_FILE.exists():
        return {}
    path = named or DEFAULT_FILE
    text = _text(path)
    values = _values(path, text)
    if "rules" in values:
        values["rules"] = _rules(path, text, values["rules"], ("rules",))
    return values


def rules_from_file(path: Path) -> Rules:
    """The rules of a settings file, or of a file that holds what stands below `rules:` there, and only that.

    A settings file without rules, or an empty one, has the defaults. Raises SettingsError with the line.
    """
    text = _text(path)
    values = _values(path, text)
    if values and values.keys() <= set(SECTIONS):
        return _rules(path, text, values, ())
    for name in values:
        if name not in Settings.model_fields:
            raise SettingsError(f"{path} line {_line(text, (name,))}: unknown setting {name}")
    return _rules(path, text, values.get("rules", {}), ("rules",))


def _rules(path: Path, text: str, section: Any, at: tuple[str, ...]) -> Rules:
    """The rules of a section that stands `at` that place of the file."""
    try:
        return Rules.from_data(section)
    except WrongRule as error:
        line = _line(text, (*at, *error.path[1:]))
        raise SettingsError(f"{path} line {line}: {error}") from None


def _line(text: str, path: tuple[str | int, ...]) -> int:
    """The line, from 1, of what a path leads to, or of the last part of the path that stands in the file."""
    node = yaml.compose(text, _Loader)
    line = 0
    for part in path:
        found = _child(node, part)
        if found is None:
            break
        line, node = found
    return line + 1


def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
    """What is called so, or is at that place, inside a node, with the line from 0 on which it begins."""
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
        return node.value[part].start_mark.line, node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == part), None)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(f"there is no settings file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be read: {type(error).__name__}") from None


def _values(path: Path, text: str) -> dict[str, Any]:
    try:
        values = yaml.load(text, _Loader)
    except RecursionError:
        raise SettingsError(f"{path} is not YAML of any use: it is nested too deep") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SettingsError(f"{path} is not YAML{f', line {mark.line + 1}' if mark else ''}") from None
    if not isinstance(values or {}, dict):
        raise SettingsError(f"{path} must be a mapping of settings")
    return dict(values or {})


class _Loader(yaml.SafeLoader):
    """Plain values only, and no name twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """One mapping of the file."""
        names: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                line = key.start_mark.line + 1
                raise SettingsError(f"setting {key.value} is given twice in the settings file, line {line}")
            names.add(key.value)
        return super().construct_mapping(node, deep)


def _put(values: dict[str, Any], path: list[str], value: Any, name: str) -> None:
    """Set one value at its path, where a Kafka section's names get their dots."""
    *sections, last = path
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"{name}: {section} is no section of the settings")
        values = inner
    if sections and sections[0] in _KAFKA_SECTIONS:
        last = last.replace("_", ".")
    values[last] = value


def _one_line(error: ValidationError) -> str:
    """The first fault: where, what is allowed; never the value, which may be a secret."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {where}: see `nexus run --help` and docs/settings.md for the names"
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"setting {where}: {message}" if where else message
