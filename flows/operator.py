"""What a person decides about identities: sent to the control topic, carried out by the stream.

    with Wiring(settings) as parts:
        operator = Operator(parts)
        one = operator.identifier("person", "email=ada@acme.example")
        operation = operator.decision("block", (one,), who="ada", why="a test account")
        changes = operator.preview(operation)
        if operator.send(operation, timeout_s=30):
            print("done")

An operator event is a message like any other: whoever reads the control topic carries it out, once, and every
replay does so again. So nothing here changes the store, but where there is no broker and nobody reads: then
`send` takes the reader's place and works the control log off.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from flows.log_reader import CONTROL
from flows.past import messages_of
from flows.reader import AtEnd
from flows.resolve import Work
from flows.stopping import Stop
from flows.wiring import Wiring
from resolver.neighbours import RedisNeighbours
from resolver.store import Member
from schemas.errors import BadMessage, BadValue, SettingsError, TerminalError
from schemas.events import EventKey, Message
from schemas.identifiers import EntityType, Identifier, parse_entity_id
from schemas.operations import MAX_ERASED, MAX_WHO_BYTES, MAX_WHY_BYTES, Kind, Operation, encode_operation
from schemas.records import encode_record
from schemas.transitions import Change, Snapshot
from sinks.kafka import KafkaMessages

_PAUSE_S = 0.05


class NothingToDo(TerminalError):
    """The operation would have nobody to act on. One line that says why; exit code 1."""


class Recorded(NamedTuple):
    """An operator event as it lies in the control topic."""

    operation: Operation
    ingested_at_ms: int
    offset: int


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an erasure is about, as it was decided: the entity with all that it is known by, or one identifier
    that is out of the graph and so in no entity.
    """

    entity_type: EntityType
    entity_id: str | None
    members: tuple[Member, ...]
    touched: tuple[bytes, ...]


class Operator:
    """Decides, shows what a decision would change, and sends it.

    Raises SettingsError for an identifier that cannot be meant, NothingToDo where nobody is, and the errors
    of store and broker as they are.
    """

    def __init__(self, parts: Wiring) -> None:
        self._parts = parts

    @cached_property
    def _graph(self) -> RedisNeighbours:
        return RedisNeighbours(self._parts.client, self._parts.settings.namespace, self._parts.store)

    # deciding

    def identifier(self, entity_type: EntityType, text: str) -> Identifier:
        """The identifier that TYPE=VALUE names, or that an id was made from, its entity's senior one."""
        identifier_type, equals, value = text.partition("=")
        one = (
            self._normalised(entity_type, identifier_type, value)
            if equals
            else self._senior(entity_type, text)
        )
        blocked = self._parts.settings.rules.blocked(one)
        if blocked is not None:
            raise SettingsError(
                f"this {one.identifier_type} is blocked by the rules ({blocked}) and names nobody: change it "
                "there"
            )
        return one

    def _normalised(self, entity_type: EntityType, identifier_type: str, value: str) -> Identifier:
        try:
            return self._parts.settings.rules.identifier(entity_type, identifier_type, value)
        except BadValue as error:
            raise SettingsError(f"{identifier_type}: the value {error.reason}") from None

    def _senior(self, entity_type: EntityType, text: str) -> Identifier:
        standing = self._parts.store.standing(self._key_of_id(entity_type, text))
        if standing.identifier is not None:
            return standing.identifier
        if standing.state == "erased":
            raise NothingToDo("what this id was made from is erased")
        raise NothingToDo("nobody was ever called by this id")

    @staticmethod
    def _key_of_id(entity_type: EntityType, text: str) -> bytes:
        if "_" not in text:
            raise SettingsError(
                f"name the {entity_type} by TYPE=VALUE, as in email=ada@acme.example, or by its id"
            )
        kind, key = parse_entity_id(text)
        if kind != entity_type:
            raise SettingsError(
                f"name the {entity_type} by TYPE=VALUE or by its id: this is the id of a {kind}"
            )
        return key

    def decision(self, kind: Kind, identifiers: Sequence[Identifier], who: str, why: str) -> Operation:
        """An operator event about identifiers, ready to be shown or sent."""
        if len(set(identifiers)) != len(identifiers):
            raise SettingsError("both are the same identifier: name two")
        _check_words(who, why)
        namespace = self._parts.settings.namespace
        operation_id = secrets.token_hex(16)
        return Operation(
            kind, identifiers[0].entity_type, namespace, operation_id, who, why, tuple(identifiers)
        )

    @staticmethod
    def check_words(operation: Operation) -> None:
        """Raise SettingsError for what would be refused when it is read."""
        _check_words(operation.who, operation.why)

    def subject(self, entity_type: EntityType, text: str) -> Subject:
        """Whom TYPE=VALUE or an id means, with everything that an erasure would take."""
        if "=" in text:
            key = self._graph.living(self._parts.keyring.key(self.identifier(entity_type, text)))
        else:
            key = self._key_of_id(entity_type, text)
        entity = self._parts.store.entity(key, MAX_ERASED + 1)
        if entity is None:
            member = self._outside(entity_type, key)
            return Subject(entity_type, None, (member,), ())
        if entity.size > MAX_ERASED:
            raise NothingToDo(
                f"this {entity_type} has {entity.size:,} identifiers and is nobody in particular: block what "
                "glues it together first"
            )
        touched = self._parts.store.touched([member.key for member in entity.members])
        return Subject(entity_type, entity.entity_id, entity.members, touched)

    def _outside(self, entity_type: EntityType, key: bytes) -> Member:
        """An identifier that is known and in no entity: quarantined, or blocked by an operator."""
        standing = self._parts.store.standing(key)
        if standing.state == "erased":
            raise NothingToDo("this is erased already")
        if standing.identifier is None:
            raise NothingToDo(f"no {entity_type} is known by this: there is nothing to erase")
        one = standing.identifier
        return Member(one.identifier_type, one.identifier_value, key)

    def erasure(self, subject: Subject, who: str, why: str) -> Operation:
        """The operator event that erases a subject: its keys as they are now, and no value."""
        _check_words(who, why)
        erased = tuple(sorted(member.key for member in subject.members))
        blocked = tuple(sorted(set(subject.touched).difference(erased)))
        namespace = self._parts.settings.namespace
        operation_id = secrets.token_hex(16)
        return Operation("erase", subject.entity_type, namespace, operation_id, who, why, (), erased, blocked)

    def retraction(self, event: EventKey, touched: Collection[bytes], who: str, why: str) -> Operation:
        """The operator event that takes an event out, with the keys of what it touched."""
        _check_words(who, why)
        namespace, operation_id = self._parts.settings.namespace, secrets.token_hex(16)
        keys = tuple(sorted(touched))
        return Operation("retract", "person", namespace, operation_id, who, why, event=event, touched=keys)

    def preview(self, operation: Operation) -> Sequence[Change | Snapshot]:
        """What it would publish if it came in now. Changes nothing."""
        parts, now_ms = self._parts, time.time_ns() // 1_000_000
        command = parts.operations.command(operation, now_ms, lambda key, _: self._graph.living(key))
        return () if command is None else parts.store.preview(command)

    # sending

    def send(self, operation: Operation, timeout_s: float | None) -> bool:
        """Put it into the control topic, durably; then wait until the stream has carried it out.

        False if it has not in `timeout_s`: it stays in the topic, and whoever reads next carries it out.
        None: do not wait at all, and say False.
        """
        self._parts.prepare_control()
        self._write(encode_operation(operation))
        return timeout_s is not None and self.wait(self._parts.operations_at_end(), timeout_s)

    def _write(self, value: bytes) -> None:
        if self._parts.settings.source == "log":
            record = encode_record(value, ingested_at_ms=time.time_ns() // 1_000_000)
            self._parts.log(CONTROL).append([record])
            return
        with closing(KafkaMessages(self._parts.producer_config, self._parts.control)) as topic:
            topic.write([Message(self._parts.control, 0, 0, 0, 0, value)])

    def wait(self, is_done: AtEnd, timeout_s: float) -> bool:
        """Wait until everything that is in the control topic is carried out; embedded, lend a hand."""
        is_embedded = self._parts.settings.source == "log"
        deadline = time.monotonic() + timeout_s
        if is_embedded and not self._work_off(is_done, timeout_s):
            return False
        if not _until(is_done, timeout_s, lambda: time.sleep(_PAUSE_S)):
            return False
        restructuring = self._parts.restructuring(lambda _: None)

        def settle() -> None:
            if is_embedded:
                restructuring.run()
            time.sleep(_PAUSE_S)

        return _until(lambda: not restructuring.is_due(), deadline - time.monotonic(), settle)

    def _work_off(self, is_done: AtEnd, timeout_s: float) -> bool:
        """Carry out what nobody else does: while a run reads, the lock is its, and this only waits."""
        stop, parts = Stop(), self._parts
        alarm = threading.Timer(timeout_s, stop.request)
        alarm.daemon = True
        alarm.start()
        work = Work(parts.store, parts.linker, parts.dead_letters(), {}, stop, operations=parts.operations)
        try:
            with closing(parts.operations_reader()) as reader:

                def turn() -> None:
                    taken = reader.take()
                    if taken is not None:
                        work.all_steps(taken)

                return _until(is_done, timeout_s, turn)
        finally:
            alarm.cancel()

    # the audit

    def recorded(self) -> Iterator[Recorded | BadMessage]:
        """Every operator event of the namespace in the order of the topic; in its place, why one is none."""
        for message in messages_of(self._parts, CONTROL, self._parts.control):
            try:
                operation = self._parts.operations.decode(message)
            except BadMessage as problem:
                yield problem
            else:
                if operation is not None:
                    yield Recorded(operation, message.ingested_at_ms, message.offset)


def _check_words(who: str, why: str) -> None:
    """What would be refused when it is read is refused before it is sent."""
    for name, text, most in (("--who", who, MAX_WHO_BYTES), ("--why", why, MAX_WHY_BYTES)):
        if not text.isprintable():
            raise SettingsError(f"{name}: must be one line of printable text")
        if len(text.encode()) > most:
            raise SettingsError(f"{name}: must be {most:,} bytes at most")
    if not who:
        raise SettingsError("--who: say who decides this")


def _until(holds: AtEnd, timeout_s: float, turn: Callable[[], None]) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        turn()
    return True
