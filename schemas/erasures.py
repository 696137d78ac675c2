"""What was erased, and who goes by the key of an erased identifier since."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.identifiers import Keyring


@dataclass(slots=True)
class Erasures:
    """Erased identifier keys of one namespace, each with the log position (bytes) of its first erasure."""

    keyring: Keyring
    positions: dict[bytes, bytes] = field(default_factory=dict)

    def learn(self, erased: Iterable[bytes], position: bytes) -> None:
        """These keys were erased at this log position."""
        for key in erased:
            self.positions[key] = min(position, self.positions.get(key, position))

    def update(self, positions: Mapping[bytes, bytes]) -> None:
        """The same for keys with a position each."""
        for key, position in positions.items():
            self.learn((key,), position)

    def living(self, key: bytes, position: bytes) -> bytes | None:
        """The key that goes by this one at a log position; None where it is erased there."""
        while (erasure := self.positions.get(key)) is not None:
            if position <= erasure:
                return None
            key = self.keyring.reborn(key, erasure)
        return key

    def living_set(self, keys: Iterable[bytes], position: bytes) -> tuple[bytes, ...] | None:
        """The same of identifiers that were named as one participant, in their order; None where one of them
        is erased: then the participant is dropped whole.
        """
        found = []
        for key in keys:
            living = self.living(key, position)
            if living is None:
                return None
            found.append(living)
        return tuple(found)
