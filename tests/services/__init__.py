"""Real servers for the tests: Apache Kafka (KRaft, one process) and redis-server, on free loopback ports.

From a shell, `python -m tests.services run -- COMMAND` installs what is missing, starts both, runs the
command with their addresses in NEXUS_TEST_KAFKA and NEXUS_TEST_REDIS, and stops them. From Python, whoever
tests faults starts, kills and restarts a `KafkaServer` or a `RedisServer` on the same folder and ports.
"""

from tests.services.install import Missing, java, kafka_jars, redis_executables
from tests.services.kafka_server import KafkaServer, make_topic
from tests.services.redis_server import RedisServer
from tests.services.server import ServerFailed

__all__ = [
    "KafkaServer",
    "Missing",
    "RedisServer",
    "ServerFailed",
    "java",
    "kafka_jars",
    "make_topic",
    "redis_executables",
]
