"""What librdkafka says, in our words: is it worth trying again, and if not, what has to be done.

Only codes and the client's own sentences are passed on, never a key or a value.
"""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException

from schemas.errors import NexusError, TerminalError, TransientError

_REMEDIES = {
    KafkaError.MSG_SIZE_TOO_LARGE: "raise max.message.bytes of the topic and message.max.bytes of the client",
    KafkaError.RECORD_LIST_TOO_LARGE: "raise max.message.bytes of the topic",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "make the topic again, or correct its name in the settings",
    KafkaError._UNKNOWN_TOPIC: "make the topic again, or correct its name in the settings",
    KafkaError._UNKNOWN_PARTITION: "the topic was made again with fewer partitions: restart",
    KafkaError.TOPIC_EXCEPTION: "choose a name that Kafka accepts",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give this user the right to the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "give this user the right IdempotentWrite on the cluster",
    KafkaError.SASL_AUTHENTICATION_FAILED: "correct user and password",
    KafkaError._AUTHENTICATION: "correct user and password",
    KafkaError.UNSUPPORTED_VERSION: "use Apache Kafka 2.5 or later",
    KafkaError._UNSUPPORTED_FEATURE: "use Apache Kafka 2.5 or later",
    KafkaError.INVALID_CONFIG: "correct the settings of the topic",
    KafkaError.INVALID_PARTITIONS: "correct the number of partitions",
    KafkaError.INVALID_REPLICATION_FACTOR: "correct the replication factor: there are fewer brokers",
    KafkaError.POLICY_VIOLATION: "ask who runs the cluster to allow it",
    KafkaError.INVALID_RECORD: "look into the broker's log for the reason",
}


def translated(
    error: KafkaError, what: str, *, transient: type[TransientError], terminal: type[TerminalError]
) -> NexusError:
    """The error to raise for a failed `what` ("write to topic x"): `terminal`, with its remedy, if a person
    must act.
    """
    if error.fatal():
        return terminal(f"cannot {what}: {error.str()}; the client gave up for good: start again")
    remedy = _REMEDIES.get(error.code())
    if remedy is not None:
        return terminal(f"cannot {what}: {error.str()}; {remedy}")
    return transient(f"cannot {what}: {error.str()}")


def error_of(exception: KafkaException) -> KafkaError:
    """The error inside librdkafka's exception."""
    error = exception.args[0]
    assert isinstance(error, KafkaError)
    return error
