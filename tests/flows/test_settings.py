"""Settings: what is taken, from where, and what each wrong one is answered with."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from flows.cli import main
from flows.settings import load
from schemas.errors import SettingsError
from tests.conftest import MakeTopic, StartRedis
from tests.end_to_end.programs import Done, Nexus
from tests.services.server import LOOPBACK, free_port

Call = Callable[[Sequence[str], Mapping[str, object]], Done]
CANARY = "hunter2-and-long-enough"


@dataclass(frozen=True)
class Wrong:
    """A wrong setting: what the answer names; the words, the file and the environment that carry it."""

    says: str
    words: tuple[str, ...] = ("run", "--until-end")
    file: str | bytes | None = None
    environment: Mapping[str, object] = field(default_factory=dict)


def run(*words: str) -> tuple[str, ...]:
    return ("run", "--until-end", *words)


KAFKA = {"NEXUS_KAFKA__BOOTSTRAP_SERVERS": f"{LOOPBACK}:9"}
REDIS = {"NEXUS_REDIS__URL": f"redis://{LOOPBACK}:9/0"}

SNOWFLAKE = "engine: snowflake, snowflake: {account: a, user: u, database: d"

WRONG = {
    # the file
    "unknown name in the file": Wrong("namespac", file="namespac: acme"),
    "unknown name in a section": Wrong("redis.uri", file="redis: {uri: redis://localhost}"),
    "unknown section": Wrong("mongodb", file="mongodb: {url: x}"),
    "no YAML": Wrong("line 2", file="namespace: acme\nredis: [url"),
    "YAML that would make objects": Wrong("not YAML", file="namespace: !!python/object/apply:os.getcwd []"),
    "YAML nested without end": Wrong("not YAML", file="a: " + "[" * 5_000),
    "two documents": Wrong("not YAML", file="namespace: a\n---\nnamespace: b\n"),
    "a name given twice": Wrong("twice", file="namespace: a\nnamespace: b\n"),
    "a list in the file": Wrong("mapping", file="- namespace\n- acme"),
    "a word in the file": Wrong("mapping", file="acme"),
    "no text in the file": Wrong("cannot be read", file=b"\xff\xfe\x00namespace"),
    "NUL in the file": Wrong("not YAML", file=b"namespace: a\x00b"),
    "a section that is a word": Wrong("redis", file="redis: localhost"),
    "a null section": Wrong("redis", file="redis:"),
    "no such file": Wrong("there is no settings file", words=("--config", "nowhere.yaml")),
    "no such file in the environment": Wrong("nowhere.yaml", environment={"NEXUS_CONFIG": "nowhere.yaml"}),
    "a folder for a file": Wrong("cannot be read", words=("--config", ".")),
    # rules; more of them, with their lines, in test_settings_rules.py
    "a wrong rule": Wrong(
        "nexus.yaml line 2: rules.identifiers.email.max_degree must be a whole number from 1 to 10000",
        file=f"secret: {CANARY}\nrules: {{identifiers: {{email: {{max_degree: many}}}}}}",
    ),
    "null rules": Wrong("rules must be a mapping", file="rules:"),
    "rules in the environment": Wrong("rules stand in the settings file", environment={"NEXUS_RULES": "{}"}),
    "a rule in the environment": Wrong(
        "NEXUS_RULES__INTERNAL_DOMAINS", environment={"NEXUS_RULES__INTERNAL_DOMAINS": "acme.com"}
    ),
    # the environment
    "unknown name in the environment": Wrong("namespac", environment={"NEXUS_NAMESPAC": "acme"}),
    "unknown name of a section in the environment": Wrong("redis.uri", environment={"NEXUS_REDIS__URI": "x"}),
    "a section as one value": Wrong("redis", environment={"NEXUS_REDIS": "redis://localhost"}),
    "a value as a section": Wrong("namespace", environment={"NEXUS_NAMESPACE__NAME": "acme"}),
    "no name at all": Wrong("unknown setting", environment={"NEXUS_": "acme"}),
    # types and ranges
    "workers that are no number": Wrong("workers", file="workers: many"),
    "workers in the environment that are no number": Wrong("workers", environment={"NEXUS_WORKERS": "many"}),
    "no worker": Wrong("workers", environment={"NEXUS_WORKERS": 0}),
    "too many workers": Wrong("workers", environment={"NEXUS_WORKERS": 65}),
    "an empty batch": Wrong("batch", file="batch: 0"),
    "half a message": Wrong("batch", file="batch: 0.5"),
    "an outbox of less than nothing": Wrong("outbox_limit", file="outbox_limit: -1"),
    "less than no event": Wrong("recent_events", environment={"NEXUS_RECENT_EVENTS": -1}),
    "more events than can be looked at": Wrong("recent_events", file="recent_events: 1001"),
    "perhaps": Wrong("relaxed_durability", file="redis: {relaxed_durability: perhaps}"),
    "no partitions": Wrong("output.partitions", file="output: {partitions: 0}"),
    "no replicas": Wrong("output.replication_factor", file="output: {replication_factor: 0}"),
    "a namespace without a name": Wrong("namespace", environment={"NEXUS_NAMESPACE": ""}),
    "a namespace with braces": Wrong("namespace", environment={"NEXUS_NAMESPACE": "a}b{c"}),
    "a namespace that leaves the data folder": Wrong("namespace", environment={"NEXUS_NAMESPACE": "../b"}),
    "a namespace that is a number": Wrong("namespace", file="namespace: 7"),
    "a short secret": Wrong("secret", environment={"NEXUS_SECRET": "hunter2"}),
    "an empty secret": Wrong("secret", environment={"NEXUS_SECRET": ""}),
    # Redis
    "a URL of something else": Wrong("redis.url", environment={"NEXUS_REDIS__URL": f"http://:{CANARY}@host"}),
    "a URL without a scheme": Wrong("redis.url", environment={"NEXUS_REDIS__URL": "localhost:6379"}),
    "a URL with a port in words": Wrong(
        "redis.url", environment={"NEXUS_REDIS__URL": f"redis://:{CANARY}@localhost:port/0"}
    ),
    "a URL with a database in words": Wrong(
        "redis.url", environment={"NEXUS_REDIS__URL": f"redis://:{CANARY}@{LOOPBACK}:9/zero"}
    ),
    "an unknown option of Redis": Wrong(
        "no_such", file=f"redis: {{url: 'redis://{LOOPBACK}:9', options: {{no_such: 1}}}}"
    ),
    "an option of Redis of another type": Wrong(
        "socket_timeout", file=f"redis: {{url: 'redis://{LOOPBACK}:9', options: {{socket_timeout: soon}}}}"
    ),
    "an option of Redis that is a list": Wrong("redis.options", file="redis: {options: {retry: [1]}}"),
    # the warehouse
    "an engine that there is not": Wrong("warehouse.engine", file="warehouse: {engine: redshift}"),
    "BigQuery without a project": Wrong(
        "needs bigquery.project, whose dataset", environment={"NEXUS_WAREHOUSE__ENGINE": "bigquery"}
    ),
    "BigQuery that was not chosen": Wrong(
        "set engine to bigquery", environment={"NEXUS_WAREHOUSE__BIGQUERY__PROJECT": "acme"}
    ),
    "a dataset that is a statement": Wrong(
        "warehouse.bigquery.dataset: must be of letters",
        file="warehouse: {engine: bigquery, bigquery: {project: acme, dataset: 'a; DROP TABLE b'}}",
    ),
    "an emulator without a scheme": Wrong(
        "warehouse.bigquery.endpoint: must be like http://",
        file="warehouse: {engine: bigquery, bigquery: {project: acme, endpoint: 'localhost:9050'}}",
    ),
    "Snowflake without an account": Wrong(
        "needs snowflake.account", environment={"NEXUS_WAREHOUSE__ENGINE": "snowflake"}
    ),
    "Snowflake without a key": Wrong(
        "needs snowflake.private_key_file", file=f"warehouse: {{{SNOWFLAKE}}}}}"
    ),
    "a passphrase without a key": Wrong(
        "set snowflake.private_key_file",
        file=f"warehouse: {{{SNOWFLAKE}, endpoint: 'http://a:1', private_key_passphrase: {CANARY}}}}}",
    ),
    # Kafka
    "an unknown option of librdkafka": Wrong(
        "no.such", run(), environment={**KAFKA, "NEXUS_KAFKA__NO_SUCH": 1}
    ),
    "an unknown option of consumers": Wrong(
        "no.such", run(), environment={**KAFKA, "NEXUS_CONSUMER__NO_SUCH": 1}
    ),
    "an unknown option of producers": Wrong(
        "no.such", run(), environment={**KAFKA, "NEXUS_PRODUCER__NO_SUCH": 1}
    ),
    "a wrong value of an option": Wrong(
        "security.protocol", run(), environment={**KAFKA, "NEXUS_KAFKA__SECURITY_PROTOCOL": "secret"}
    ),
    "a wrong number of an option": Wrong(
        "retry.backoff", run(), environment={**KAFKA, "NEXUS_PRODUCER__RETRY_BACKOFF_MS": "soon"}
    ),
    "a certificate that is not there": Wrong(
        "ssl.ca.location",
        run(),
        environment={
            **KAFKA,
            "NEXUS_KAFKA__SECURITY_PROTOCOL": "ssl",
            "NEXUS_KAFKA__SSL_CA_LOCATION": "/nowhere/ca.pem",
        },
    ),
    "no address of a broker": Wrong(
        "bootstrap.servers", run(), environment={"NEXUS_KAFKA__BOOTSTRAP_SERVERS": ""}
    ),
    "options of Kafka without a broker": Wrong(
        "bootstrap.servers", run(), environment={"NEXUS_KAFKA__SECURITY_PROTOCOL": "ssl"}
    ),
    "the group as an option": Wrong("group", environment={"NEXUS_CONSUMER__GROUP_ID": "mine"}),
    "offsets by Kafka": Wrong("Redis", file="consumer: {enable.auto.commit: true}"),
    "a jump over what expired": Wrong("expired", file="consumer: {auto.offset.reset: latest}"),
    "another partitioner": Wrong("partition", file="producer: {partitioner: random}"),
    "a producer without order": Wrong("order", file="kafka: {enable.idempotence: false}"),
    # input and output
    "an unknown format of a topic": Wrong("the format must be one of", file="input: {topics: {calls: fax}}"),
    "an unknown format in the environment": Wrong("calls", environment={"NEXUS_INPUT__TOPICS": "calls=fax"}),
    "a topic without a format": Wrong("input.topics", environment={"NEXUS_INPUT__TOPICS": "calls"}),
    "one topic of two without a format": Wrong(
        "input.topics", environment={"NEXUS_INPUT__TOPICS": "calls=segment,events"}
    ),
    "no topic": Wrong("name at least one topic", file="input: {topics: {}}"),
    "one topic for both outputs": Wrong("output", file="output: {transitions: out, dead_letters: out}"),
    "operator events into the input": Wrong(
        "input.control", file="input: {topics: {calls: segment}, control: calls}"
    ),
    "dead letters into the input": Wrong(
        "output", file="input: {topics: {calls: segment}}\noutput: {dead_letters: calls}"
    ),
    # usage
    "a data folder that is a file": Wrong("data", words=("--data", "/dev/null")),
    "a file without its format": Wrong("--as", run("--source", "calls.jsonl")),
    "a file of an unknown format": Wrong("--as", run("--source", "calls.jsonl", "--as", "fax")),
    "a format without a file": Wrong("--source", run("--as", "segment")),
    "an import without a file": Wrong("--source", run("--import")),
    "no such input file": Wrong("there is no file", run("--source", "nowhere.jsonl", "--as", "segment")),
    "a folder as the input": Wrong("there is no file", run("--source", ".", "--as", "segment")),
    "Kafka as the source without an address": Wrong("bootstrap.servers", run("--source", "kafka")),
    "a file where Kafka is the input": Wrong(
        "topics", run("--source", "calls.jsonl", "--as", "segment"), environment=KAFKA
    ),
    "an unknown command": Wrong("No such command", words=("rum",)),
    "an unknown option": Wrong("No such option", run("--until-dawn")),
    "an unknown flow": Wrong("resolve", run("dissolve")),
    "workers on the command line in words": Wrong("--workers", run("--workers", "many")),
    "an entity of another kind": Wrong("person", words=("export", "animal")),
    "an identifier without a value": Wrong("TYPE=VALUE", words=("lookup", "person", "email")),
    "an identifier of an impossible type": Wrong(
        "type", words=("lookup", "person", "E Mail=a@b.test"), environment=REDIS
    ),
    "an address that is none": Wrong("email", words=("lookup", "person", "email=nobody"), environment=REDIS),
    "an id that is none": Wrong("per_", words=("history", "ada"), environment=REDIS),
    "a missing argument": Wrong("ID", words=("history",)),
}  # fmt: skip


def assert_one_line(done: Done, code: int) -> str:
    """It ended with this code and one line on stderr; returns the line."""
    lines = done.err.splitlines()
    assert (done.code, len(lines)) == (code, 1), done.err
    assert lines[0].startswith("nexus: ")
    return lines[0]


@pytest.fixture
def nexus(tmp_path: Path) -> Nexus:
    """Give the command in an empty folder of its own."""
    return Nexus(tmp_path)


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Give the command inside this process: a hundred processes would take a minute."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("NEXUS_")]:
        monkeypatch.delenv(name)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run_here(words: Sequence[str], environment: Mapping[str, object]) -> Done:
        monkeypatch.setattr("sys.argv", ["nexus", *words])
        for name, value in environment.items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    yield run_here
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_a_wrong_setting_ends_with_code_2_and_one_line(call: Call, tmp_path: Path, wrong: Wrong) -> None:
    """The line names what is wrong and quotes no secret, and nothing was begun."""
    (tmp_path / "calls.jsonl").touch()
    if wrong.file is not None:
        text = wrong.file if isinstance(wrong.file, bytes) else wrong.file.encode()
        (tmp_path / "nexus.yaml").write_bytes(text)
    words = (*run(), *wrong.words) if wrong.words[0].startswith("--") else wrong.words
    line = assert_one_line(call(words, wrong.environment), 2)
    assert wrong.says in line
    assert CANARY not in line
    assert not (tmp_path / "nexus-data").exists()


UNSAFE = {
    "no append-only file": ({"appendonly": "no"}, "appendonly yes"),
    "synced every second": ({"appendfsync": "everysec"}, "appendfsync always"),
    "never synced": ({"appendfsync": "no"}, "appendfsync always"),
    "evicting the least used": ({"maxmemory-policy": "allkeys-lru"}, "noeviction"),
    "evicting what expires": ({"maxmemory-policy": "volatile-ttl"}, "noeviction"),
    "a replica": ({"replicaof": f"{LOOPBACK} 9"}, "primary"),
}


@pytest.mark.parametrize(("config", "says"), UNSAFE.values(), ids=list(UNSAFE))
def test_a_redis_that_would_lose_data_is_refused(
    nexus: Nexus, start_redis: StartRedis, config: Mapping[str, str], says: str
) -> None:
    """Code 2, and one line with the remedy, from `run` as from a question; nothing is written there."""
    server = start_redis(config=config)
    url = {"NEXUS_REDIS__URL": server.url}
    for words in (("export", "person"), run()):
        assert says in assert_one_line(nexus.run(*words, **url), 2)
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("user", ["", f":{CANARY}@", f"nobody:{CANARY}@"], ids=["none", "password", "user"])
def test_a_redis_that_lets_nobody_in_is_a_wrong_setting(
    nexus: Nexus, start_redis: StartRedis, user: str
) -> None:
    """No password, a wrong one, or an unknown user is code 2, and no password is shown."""
    server = start_redis()
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "the right one")
        url = server.url.replace("//", f"//{user}")
        line = assert_one_line(nexus.run(*run(), NEXUS_REDIS__URL=url), 2)
        assert "redis.url" in line
        assert CANARY not in line


def test_options_of_redis_may_be_text(nexus: Nexus, start_redis: StartRedis) -> None:
    """The environment has only text: a timeout there becomes a number, and a wrong one is refused."""
    url = {"NEXUS_REDIS__URL": start_redis().url}
    nexus.ok(*run(), NEXUS_REDIS__OPTIONS__SOCKET_TIMEOUT="20", **url)
    refused = nexus.run(*run(), NEXUS_REDIS__OPTIONS__SOCKET_TIMEOUT="soon", **url)
    assert "redis.options.socket_timeout" in assert_one_line(refused, 2)


def test_lesser_durability_is_taken_when_it_is_said(nexus: Nexus, start_redis: StartRedis) -> None:
    """`relaxed_durability` takes everysec, `--ephemeral` takes no append-only file at all."""
    relaxed = start_redis(config={"appendfsync": "everysec"})
    nexus.ok("run", "--until-end", NEXUS_REDIS__URL=relaxed.url, NEXUS_REDIS__RELAXED_DURABILITY="true")
    ephemeral = start_redis(config={"appendonly": "no"})
    nexus.ok("run", "--until-end", "--ephemeral", NEXUS_REDIS__URL=ephemeral.url)


def test_a_store_of_another_secret_is_refused(nexus: Nexus) -> None:
    """Keys of two secrets never meet in one namespace: code 1, and what to do."""
    nexus.ok(*run(), NEXUS_SECRET="the secret of the first day")
    for words in (run(), ("export", "person")):
        refused = nexus.run(*words, NEXUS_SECRET="the secret of the second")
        assert "another secret" in assert_one_line(refused, 1)
    assert nexus.run(*run()).code == 1, "none is another one, too"
    nexus.ok(*run(), NEXUS_SECRET="the secret of the second", NEXUS_NAMESPACE="another")


@pytest.mark.parametrize("words", [("export", "person"), ("lookup", "person", "email=a@b.test"), run()])
def test_a_redis_that_does_not_answer_ends_with_code_1(nexus: Nexus, words: tuple[str, ...]) -> None:
    """Nobody there is no wrong setting, and as soon told."""
    done = nexus.run(*words, NEXUS_REDIS__URL=f"redis://{LOOPBACK}:{free_port()}/0")
    assert "Redis does not answer" in assert_one_line(done, 1)


def test_a_kafka_that_does_not_answer_ends_with_code_1(nexus: Nexus) -> None:
    """A run without a broker ends and says that it did not reach one; no traceback."""
    done = nexus.run(*run(), NEXUS_KAFKA__BOOTSTRAP_SERVERS=f"{LOOPBACK}:{free_port()}")
    assert done.code == 1
    assert "reach the broker" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("words", [("check",), ("check", "--json")])
def test_check_says_what_is_wrong_and_ends_with_code_1(nexus: Nexus, words: tuple[str, ...]) -> None:
    """`check` finds it wrong that Redis does not answer, in its own list."""
    done = nexus.run(*words, NEXUS_REDIS__URL=f"redis://{LOOPBACK}:{free_port()}/0")
    assert (done.code, done.err) == (1, "")
    assert re.search(r"wrong.*Redis does not answer", done.out)


@pytest.mark.services
@pytest.mark.parametrize(
    ("config", "says"),
    [({"message.timestamp.type": "CreateTime"}, "LogAppendTime"), (None, "not")],
    ids=["producers' times", "not there"],
)
def test_an_input_topic_that_must_not_be_read_ends_with_code_1(
    nexus: Nexus, kafka: str, new_topic: MakeTopic, config: Mapping[str, str] | None, says: str
) -> None:
    """The refusal names the topic and the remedy."""
    topic = "nobody-made-this" if config is None else new_topic(config=config)
    done = nexus.run(*run(), NEXUS_KAFKA__BOOTSTRAP_SERVERS=kafka, NEXUS_INPUT__TOPICS=f"{topic}=segment")
    line = assert_one_line(done, 1)
    assert topic in line
    assert says in line


@pytest.mark.services
def test_producers_times_are_taken_when_they_are_trusted(
    nexus: Nexus, kafka: str, new_topic: MakeTopic
) -> None:
    """`trust_producer_clocks` reads a topic with CreateTime."""
    topic = new_topic(config={"message.timestamp.type": "CreateTime"})
    nexus.ok(
        *run(),
        NEXUS_KAFKA__BOOTSTRAP_SERVERS=kafka,
        NEXUS_INPUT__TOPICS=f"{topic}=segment",
        NEXUS_INPUT__TRUST_PRODUCER_CLOCKS="true",
    )


@pytest.mark.services
@pytest.mark.parametrize(
    ("config", "says"),
    [({"cleanup.policy": "compact"}, "cleanup.policy"), ({"max.message.bytes": "1000"}, "max.message.bytes")],
    ids=["compacted", "too small"],
)
def test_an_output_topic_that_would_lose_messages_ends_with_code_1(
    nexus: Nexus, kafka: str, new_topic: MakeTopic, config: Mapping[str, str], says: str
) -> None:
    """A topic for dead letters that is compacted, or takes no large message, is refused with the remedy."""
    done = nexus.run(
        *run(),
        NEXUS_KAFKA__BOOTSTRAP_SERVERS=kafka,
        NEXUS_INPUT__TOPICS=f"{new_topic()}=segment",
        NEXUS_OUTPUT__DEAD_LETTERS=new_topic(config=config),
    )
    assert says in assert_one_line(done, 1)


# what is right


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    """Each later place overrides single settings of the one before and leaves the others."""
    file = tmp_path / "nexus.yaml"
    file.write_text("namespace: from-file\nworkers: 2\nbatch: 100\n")
    settings = load({"NEXUS_WORKERS": "3", "NEXUS_NAMESPACE": "from-environment"}, file, namespace="given")
    assert (settings.namespace, settings.workers, settings.batch) == ("given", 3, 100)


def test_the_file_that_is_named_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--config`, else NEXUS_CONFIG, else nexus.yaml where one works."""
    monkeypatch.chdir(tmp_path)
    for name in ("nexus", "other", "third"):
        Path(f"{name}.yaml").write_text(f"namespace: {name}")
    assert load({}).namespace == "nexus"
    assert load({"NEXUS_CONFIG": "other.yaml"}).namespace == "other"
    assert load({"NEXUS_CONFIG": "other.yaml"}, Path("third.yaml")).namespace == "third"


def test_options_of_kafka_pass_through_by_their_own_names() -> None:
    """In a file librdkafka's names stand as they are, in the environment with underscores for dots."""
    settings = load(
        {"NEXUS_KAFKA__BOOTSTRAP_SERVERS": "localhost:9092", "NEXUS_CONSUMER__FETCH_MIN_BYTES": "1"}
    )
    assert settings.kafka == {"bootstrap.servers": "localhost:9092"}
    assert settings.consumer == {"fetch.min.bytes": "1"}


def test_secrets_print_as_stars() -> None:
    """What is shown of the settings holds no password, secret, key or token."""
    secrets = {
        "NEXUS_SECRET": CANARY,
        "NEXUS_REDIS__URL": f"redis://user:{CANARY}@host/0",
        "NEXUS_REDIS__OPTIONS__PASSWORD": CANARY,
        "NEXUS_KAFKA__BOOTSTRAP_SERVERS": "localhost:9092",
        "NEXUS_KAFKA__SASL_PASSWORD": CANARY,
        "NEXUS_KAFKA__SSL_KEY_PASSWORD": CANARY,
        "NEXUS_KAFKA__SSL_KEY_PEM": CANARY,
        "NEXUS_KAFKA__SASL_OAUTHBEARER_CLIENT_SECRET": CANARY,
        "NEXUS_KAFKA__SASL_OAUTHBEARER_CONFIG": CANARY,
        "NEXUS_WAREHOUSE__ENGINE": "none",
        "NEXUS_WAREHOUSE__SNOWFLAKE__PRIVATE_KEY_FILE": "key.p8",
        "NEXUS_WAREHOUSE__SNOWFLAKE__PRIVATE_KEY_PASSPHRASE": CANARY,
    }
    settings = load(secrets)
    assert CANARY not in str(settings.shown())
    assert CANARY not in repr(settings)
    assert settings.shown()["redis"]["url"] == "redis://***@host/0"


def test_where_a_load_costs_messages_wait_longer() -> None:
    """Without a setting 5 s, in the cloud 60; with one as it says."""
    bigquery = {"NEXUS_WAREHOUSE__ENGINE": "bigquery", "NEXUS_WAREHOUSE__BIGQUERY__PROJECT": "acme"}
    assert load({}).warehouse.waits_s == 5
    assert load(bigquery).warehouse.waits_s == 60
    assert load({**bigquery, "NEXUS_WAREHOUSE__EVERY_S": "7"}).warehouse.waits_s == 7


def test_a_wrong_secret_is_not_quoted() -> None:
    """The error about a secret does not hold the secret."""
    with pytest.raises(SettingsError) as refused:
        load({"NEXUS_SECRET": "hunter2"})
    assert "hunter2" not in str(refused.value)
