"""What operators said, as far as it is in force: the reference and the warehouse ask it the same questions.

An operator event that names an erased identifier at or below the erasure is void; above it, it is about the
new one. Of those that contradict each other the one of highest log position counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from resolver.store import Command, OperationKind
from schemas.erasures import Erasures
from schemas.events import EventKey
from schemas.identifiers import Keyring

Keys: TypeAlias = tuple[bytes, ...]


@dataclass(frozen=True)
class Words:
    """The operator events of a namespace, in any order and any number of times."""

    keyring: Keyring
    commands: frozenset[Command]

    @cached_property
    def erasures(self) -> Erasures:
        """What was erased, and who goes by the key of an erased identifier since."""
        found = Erasures(self.keyring)
        for command in self.commands:
            if command.kind == "erase":
                found.learn(command.keys, command.position)
        return found

    @cached_property
    def retracted(self) -> frozenset[EventKey]:
        """The events of which nothing counts, wherever their messages lie in the log."""
        return frozenset(command.event for command in self.commands if command.event is not None)

    @cached_property
    def reborn(self) -> frozenset[bytes]:
        """The keys of identifiers that came back after an erasure, if they did."""
        return frozenset(self.keyring.reborn(*erased) for erased in self.erasures.positions.items())

    @cached_property
    def in_force(self) -> Mapping[tuple[str, Keys], Command]:
        """The operator events that count, each by what it is about."""
        last: dict[tuple[str, Keys], Command] = {}
        for command in self.commands:
            for about, named in _subjects(command):
                keys = self._meant(command, named)
                if keys:
                    known = last.get((about, keys), command)
                    last[about, keys] = max(known, command, key=lambda one: one.position)
        return last

    def _meant(self, command: Command, named: Keys) -> Keys:
        """Who goes by these keys at an operator event, ascending; empty where one of them is erased there.

        An erasure names what it found: nothing goes by another key in it.
        """
        living = [self.erasures.living(key, command.position) for key in named]
        keys = tuple(sorted(key for key in living if key is not None))
        is_void = len(keys) < len(named) or (command.kind == "erase" and keys != named)
        return () if is_void else keys

    def standing(self, kind: OperationKind) -> list[tuple[Keys, Command]]:
        """Those of a kind that count, each with the keys that it is about, ascending."""
        return [(keys, said) for (_, keys), said in self.in_force.items() if said.kind == kind]

    @cached_property
    def blocked(self) -> frozenset[bytes]:
        """Identifiers that an operator blocked, or an erasure, since it touched them; named or not."""
        blocked = (*self.standing("block"), *self.standing("erase"))
        return frozenset(keys[0] for keys, _ in blocked)

    @cached_property
    def released(self) -> frozenset[bytes]:
        """Identifiers that no limit takes out of the graph."""
        return frozenset(keys[0] for keys, _ in self.standing("release"))


def _subjects(command: Command) -> Iterator[tuple[str, Keys]]:
    """What a command is about: only the last one about the same thing is in force."""
    match command.kind:
        case "together" | "apart":
            yield "pair", tuple(sorted(command.keys))
        case "block" | "unblock":
            yield "block", command.keys
        case "release":
            yield "release", command.keys
        case "erase":
            for key in command.blocked:
                yield "block", (key,)


def words(keyring: Keyring, commands: Iterable[Command]) -> Words:
    """What these commands come to."""
    return Words(keyring, frozenset(commands))
