"""Real servers for the tests: Apache Kafka (KRaft, one process) and redis-server, on free loopback ports.
Beside them what stands in for warehouses that cannot be had here: emulators of BigQuery and Snowflake that
the vendors' own clients talk to, and the analyzer that BigQuery's SQL goes through.

From a shell, `python -m tests.services run -- COMMAND` installs what is missing, starts Kafka and Redis, runs
the command with their addresses in NEXUS_TEST_KAFKA and NEXUS_TEST_REDIS, and stops them. From Python,
whoever tests faults starts, kills and restarts a server on the same folder and ports.
"""

from tests.services.analyzer import refusals
from tests.services.emulators import BigQueryServer, SnowflakeServer
from tests.services.install import Missing, compose, java, kafka_jars, redis_executables
from tests.services.kafka_server import KafkaServer, make_topic
from tests.services.redis_server import RedisServer
from tests.services.server import ServerFailed

__all__ = [
    "BigQueryServer",
    "KafkaServer",
    "Missing",
    "RedisServer",
    "ServerFailed",
    "SnowflakeServer",
    "compose",
    "java",
    "kafka_jars",
    "make_topic",
    "redis_executables",
    "refusals",
]
