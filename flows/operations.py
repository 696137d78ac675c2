"""The operator events of a namespace, from a message to what the store is told."""

from collections.abc import Callable
from dataclasses import dataclass

from resolver.store import Command
from schemas.events import Message
from schemas.identifiers import Keyring, MakeIdentifier
from schemas.operations import Operation, decode_operation

Living = Callable[[bytes, bytes], bytes | None]
"""The key that goes by an identifier key at a log position; None where it is erased. See `Linker.living`."""


@dataclass(frozen=True, slots=True)
class Operations:
    """Reads the messages of the control topic, as the rules of one namespace normalise."""

    topic: str
    keyring: Keyring
    make: MakeIdentifier

    def decode(self, message: Message) -> Operation | None:
        """The operator event in a message; None for one of another namespace. Raises BadMessage."""
        return decode_operation(message, self.keyring.namespace, self.make)

    def command(self, operation: Operation, ingested_at_ms: int, living: Living) -> Command | None:
        """What the store is told of an operator event that came in at this instant.

        None for one that names what was erased later: there is nobody left to act on.
        """
        position = operation.position(ingested_at_ms)
        if operation.kind == "rules":
            return None  # no command: the store takes rules in a call of their own
        if operation.kind == "retract":
            return Command("retract", "person", position, operation.touched, event=operation.event)
        keys = operation.erased
        if operation.kind != "erase":
            found = [living(self.keyring.key(one), position) for one in operation.identifiers]
            keys = tuple(key for key in found if key is not None)
            if len(keys) < len(found):
                return None
        return Command(operation.kind, operation.entity_type, position, keys, operation.blocked)
