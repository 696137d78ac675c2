"""Topics: made with the broker's times, and judged before they are read from.

Everything here asks a real broker. librdkafka's in-process mock cluster (for tests) answers no question about
topics: it says so by its cluster id, and only for it are the questions left out, with a line in the log. It
makes a topic of its own accord, with the number of partitions that it likes, and knows no topic ids.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, NewTopic

from schemas.errors import BrokerUnavailable, NexusError, SettingsError, StartRefused
from sinks.kafka_errors import error_of, translated

Answer = TypeVar("Answer")

_LOGGER = logging.getLogger("nexus.kafka")
_TIMEOUT_S = 10.0
_HEADERS_BYTES = 16 * 1024  # more than the headers of a dead letter take
_LARGEST_MESSAGE = str(64 * 1024 * 1024)  # bytes: dead letters are no smaller than what came in


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it is to be made if it is missing. A replication factor of -1 leaves that to the broker."""

    name: str
    partitions: int = 1
    replication_factor: int = -1
    config: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def input(cls, name: str, partitions: int, replication_factor: int = -1) -> TopicPlan:
        """For events: the broker's times, for they are the log position."""
        return cls(name, partitions, replication_factor)

    @classmethod
    def control(cls, name: str, replication_factor: int = -1) -> TopicPlan:
        """For operator events: one partition, since their order counts, and kept for ever, since a replay
        needs all of them. An erasure names every key of its subject, so a message may be large.
        """
        config = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
        return cls(name, 1, replication_factor, {**config, "max.message.bytes": _LARGEST_MESSAGE})

    @classmethod
    def output(cls, name: str, partitions: int, replication_factor: int = -1) -> TopicPlan:
        """For transitions and dead letters: they may be larger than the broker's default allows."""
        return cls(name, partitions, replication_factor, {"max.message.bytes": _LARGEST_MESSAGE})


def admin_client(config: Mapping[str, str]) -> AdminClient:
    """A client to hand to the functions below, from any librdkafka options."""
    try:
        return AdminClient(dict(config), logger=_LOGGER)
    except KafkaException as error:
        raise SettingsError(f"kafka: {error_of(error).str()}; correct it in the settings") from error


def is_mock_cluster(admin: AdminClient) -> bool:
    """True for librdkafka's in-process mock cluster, which answers no question about topics."""
    return str(_metadata(admin).cluster_id).startswith("mockCluster")


def ensure_topics(admin: AdminClient, plans: Sequence[TopicPlan]) -> list[str]:
    """Make the topics that are missing, with the broker's times, and return their names; others stay as they
    are.

    Two that try at once make one topic. BrokerUnavailable without an answer, StartRefused if the broker says
    no.
    """
    if is_mock_cluster(admin):
        return _make_on_mock_cluster(admin, plans)
    known = _metadata(admin).topics
    missing = [plan for plan in plans if plan.name not in known]
    if not missing:
        return []
    futures = admin.create_topics([_new_topic(plan) for plan in missing], request_timeout=_TIMEOUT_S)
    made = [name for name, future in futures.items() if _was_made(name, future)]
    for plan in missing:
        _wait_until_known(admin, plan.name)
    return made


def check_input_topic(admin: AdminClient, topic: str, trust_producer_clocks: bool = False) -> None:
    """Refuse (StartRefused) a topic that is not there, or whose times are the producers', unless they are
    trusted.

    The message's time decides which identifier is the oldest and so names the entity: a producer whose clock
    is an hour behind would rename everybody.
    """
    if is_mock_cluster(admin):
        _LOGGER.warning("topic %s is on a mock cluster: whose times it has is not known", topic)
        return
    kind = _topic_config(admin, topic)["message.timestamp.type"]
    if kind != "LogAppendTime" and not trust_producer_clocks:
        raise StartRefused(
            f"topic {topic} has its producers' times (message.timestamp.type={kind}); set it to "
            f"LogAppendTime, or set trust_producer_clocks if every producer's clock is right"
        )


def check_output_topic(admin: AdminClient, topic: str, inputs: Sequence[str] = ()) -> None:
    """Refuse (StartRefused) a topic that would lose what is written to it.

    One that is compacted keeps only the last transition of an entity. One for the dead letters of `inputs`
    has to take the largest message of any of them, and the headers that say why it is dead.
    """
    if is_mock_cluster(admin):
        _LOGGER.warning("topic %s is on a mock cluster: what it keeps is not known", topic)
        return
    config = _topic_config(admin, topic)
    if "compact" in config["cleanup.policy"]:
        raise StartRefused(
            f"topic {topic} is compacted and would lose messages; set its cleanup.policy to delete"
        )
    largest = max((int(_topic_config(admin, name)["max.message.bytes"]) for name in inputs), default=0)
    if inputs and int(config["max.message.bytes"]) < largest + _HEADERS_BYTES:
        raise StartRefused(
            f"topic {topic} takes messages of {config['max.message.bytes']} bytes, its input of {largest}; "
            f"set its max.message.bytes to {largest + _HEADERS_BYTES} or more"
        )


def check_control_topic(admin: AdminClient, topic: str) -> None:
    """Refuse (StartRefused) a topic that would lose operator events, or their order.

    They are the only record of what people decided: an erasure that expired would be undone by a replay.
    """
    if is_mock_cluster(admin):
        _LOGGER.warning("topic %s is on a mock cluster: what it keeps is not known", topic)
        return
    config = _topic_config(admin, topic)
    if config["message.timestamp.type"] != "LogAppendTime":
        raise StartRefused(
            f"topic {topic} has its producers' times, and of two operator events the later one counts; set "
            "its message.timestamp.type to LogAppendTime"
        )
    if config["cleanup.policy"] != "delete":
        raise StartRefused(
            f"topic {topic} is compacted and would lose operator events; set its cleanup.policy to delete"
        )
    for name in ("retention.ms", "retention.bytes"):
        if int(config[name]) >= 0:
            raise StartRefused(
                f"topic {topic} forgets operator events ({name}={config[name]}), which a replay would undo; "
                f"set its {name} to -1"
            )
    partitions = len(_metadata(admin).topics[topic].partitions)
    if partitions != 1:
        raise StartRefused(
            f"topic {topic} has {partitions} partitions, and the order of operator events counts; name "
            "another topic in input.control, which is made with one partition, and copy the events into it"
        )


def longest_kept_ms(admin: AdminClient, topic: str) -> int | None:
    """How long at most the topic keeps a message that is in it now; None for ever, or where a mock cluster
    does not tell. A segment is deleted whole, `retention.ms` after the last message that came into it.
    """
    if is_mock_cluster(admin):
        return None
    config = _topic_config(admin, topic)
    kept = int(config["retention.ms"])
    if kept < 0 or "delete" not in config["cleanup.policy"]:
        return None
    return kept + int(config["segment.ms"])


def topic_id(admin: AdminClient, topic: str) -> str:
    """The id that a topic gets when it is made, so that one made again under the same name is told apart.

    On a mock cluster: the id of the cluster, since nothing outlives it.
    """
    if is_mock_cluster(admin):
        return str(_metadata(admin).cluster_id)
    futures = admin.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)
    return str(_answer(futures[topic], f"describe topic {topic}").topic_id)


def _metadata(admin: AdminClient) -> ClusterMetadata:
    # Of all topics: to ask for one by name makes it, with the producers' times, on a broker that makes
    # topics of its own accord.
    try:
        return admin.list_topics(timeout=_TIMEOUT_S)
    except KafkaException as error:
        raise _translated(error, "reach the broker") from error


def _new_topic(plan: TopicPlan) -> NewTopic:
    return NewTopic(
        plan.name,
        num_partitions=plan.partitions,
        replication_factor=plan.replication_factor,
        config={"message.timestamp.type": "LogAppendTime", **plan.config},
    )


def _was_made(name: str, future: Future[None]) -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error_of(error).code() == KafkaError.TOPIC_ALREADY_EXISTS:  # another process was quicker
            return False
        raise _translated(error, f"make topic {name}") from error
    return True


def _wait_until_known(admin: AdminClient, topic: str) -> None:
    """A topic that was just made, by us or by another, is for some moments unknown to the broker that is
    asked.
    """
    until = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            _topic_config(admin, topic)
        except StartRefused:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _make_on_mock_cluster(admin: AdminClient, plans: Sequence[TopicPlan]) -> list[str]:
    known = _metadata(admin).topics
    made = [plan.name for plan in plans if plan.name not in known]
    for name in made:
        admin.list_topics(name, timeout=_TIMEOUT_S)  # asking makes it
        _LOGGER.warning("topic %s is on a mock cluster, which makes it by rules of its own", name)
    return made


def _topic_config(admin: AdminClient, topic: str) -> Mapping[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    futures = admin.describe_configs([resource], request_timeout=_TIMEOUT_S)
    entries = _answer(futures[resource], f"read the settings of topic {topic}")
    return {name: entry.value for name, entry in entries.items()}


def _answer(future: Future[Answer], what: str) -> Answer:
    try:
        return future.result()
    except KafkaException as error:
        raise _translated(error, what) from error


def _translated(exception: KafkaException, what: str) -> NexusError:
    return translated(error_of(exception), what, transient=BrokerUnavailable, terminal=StartRefused)
