"""A real Apache Kafka in KRaft mode: broker and controller in one process."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services.install import java, kafka_jars
from tests.services.server import LOOPBACK, Server, ServerFailed, free_port

HEAP = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")  # quick to start, content with two cores

# librdkafka reports each refused connection; while a broker starts that is no news
SILENT = logging.Logger("silent", level=logging.CRITICAL)


class KafkaServer(Server):
    """One broker on a loopback port. `config` adds to or overrides server.properties, name by name.

    Topics are not made by a producer's typing error; a consumer that dies is noticed after a second if its
    session says so; retention acts within a second, so that a test can let offsets expire.
    """

    name = "kafka"
    start_seconds = 90.0
    stop_seconds = 40.0

    def __init__(self, folder: Path, config: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.config = dict(config or {})
        self.port = free_port()
        self.controller_port = free_port()
        self._java = java()
        self._jars = kafka_jars()

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write server.properties, and format the log folder when it is new."""
        lines = [f"{name}={value}" for name, value in self._properties().items()]
        self._properties_file.write_text("\n".join(lines) + "\n")
        if not (self.folder / "data" / "meta.properties").exists():
            cluster_id = self._storage_tool("random-uuid").strip()
            self._storage_tool("format", "-t", cluster_id, "-c", str(self._properties_file))

    def command(self) -> Sequence[str]:
        return [self._java, *HEAP, "-cp", f"{self._jars}/*", "kafka.Kafka", str(self._properties_file)]

    def answers(self) -> bool:
        admin = AdminClient({"bootstrap.servers": self.bootstrap}, logger=SILENT)
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    @property
    def _properties_file(self) -> Path:
        return self.folder / "server.properties"

    def _properties(self) -> dict[str, str]:
        listeners = f"PLAINTEXT://{LOOPBACK}:{self.port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "auto.create.topics.enable": "false",
            "log.retention.check.interval.ms": "1000",
            "log.segment.delete.delay.ms": "1000",
            # after kill -9 the controller lets the same broker in again only when its old session is over
            "broker.session.timeout.ms": "2500",
            "broker.heartbeat.interval.ms": "400",
            **self.config,
        }

    def _storage_tool(self, *arguments: str) -> str:
        command = [self._java, "-XX:TieredStopAtLevel=1", "-cp", f"{self._jars}/*", "kafka.tools.StorageTool"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise ServerFailed(f"kafka.tools.StorageTool {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def make_topic(
    bootstrap: str, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
) -> None:
    """Make a topic as Nexus makes its own, with the broker's times; returns when it exists."""
    options = {"message.timestamp.type": "LogAppendTime", **(config or {})}
    # the client has a name: without one it is destroyed before its answer comes
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(name, num_partitions=partitions, replication_factor=1, config=options)
    admin.create_topics([topic])[name].result(timeout=30)
