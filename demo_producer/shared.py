"""Devices that several customers use: a tablet that two share until a third signs in, and a kiosk.

Each sign-in is a valid call: it says that the device and an account are one. Taken at their word, all who use
the device would be one person. Who is to come to a device is decided when the first of them does: customers
whose life is told, each on one such device at most. Where they are too few to be one too many, nobody comes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from demo_producer.chance import Chance, digest_hex
from demo_producer.customers import Customer

LEAST = 900  # good records of a stream in which devices are shared; in a shorter one too few lives are told
TOO_MANY = 3  # accounts: the first number that nobody has on a device of their own
_TABLET = (0.40, 0.52, 0.70)  # so far apart that no late record changes their order
_KIOSK = (0.55, 0.85)  # from the opening, with a queue before it, to the last visit
_VISITS = 40  # at most; one in so many records of a shorter stream
_RECORDS_A_VISIT = 200


@dataclass(slots=True)
class _Device:
    """A device, the places of the stream at which somebody signs in on it, and who is still to come."""

    name: str
    places: tuple[int, ...]
    users: list[Customer] = field(default_factory=list)


class SharedDevices:
    """Who signs in where, in a stream of so many records; the same seed, the same people and devices."""

    def __init__(self, seed: int, count: int) -> None:
        self._chance = Chance("shared", seed)
        self._busy: set[int] = set()
        kiosk = _Device(f"kiosk-{digest_hex(seed, 'kiosk')[:8]}", _visits(count))
        tablet = _Device(f"tablet-{digest_hex(seed, 'tablet')[:8]}", tuple(int(at * count) for at in _TABLET))
        shown = (kiosk, tablet) if count >= LEAST else ()  # the tablet's places count where both have one
        self._turns = {place: device for device in shown for place in device.places}

    def guest(self, place: int, known: Callable[[], Sequence[Customer]]) -> tuple[Customer, str] | None:
        """Who signs in at this place of the stream, and on which device; usually nobody.

        `known` gives the customers with an account, those to be preferred first.
        """
        device = self._turns.get(place)
        if device is None:
            return None
        if place == device.places[0]:
            device.users = self._invited(len(device.places), known())
        return (device.users.pop(), device.name) if device.users else None

    def _invited(self, number: int, known: Sequence[Customer]) -> list[Customer]:
        free = [one for one in known if one.number not in self._busy][: 2 * number]
        chosen = [free.pop(self._chance.below(len(free))) for _ in range(min(number, len(free)))]
        if len(chosen) < TOO_MANY:
            return []
        self._busy.update(one.number for one in chosen)
        return chosen


def _visits(count: int) -> tuple[int, ...]:
    """The places of the kiosk's visits: the first ones at once, the others evenly."""
    first, last = (int(at * count) for at in _KIOSK)
    later = max(TOO_MANY - 1, min(_VISITS, count // _RECORDS_A_VISIT) - TOO_MANY)
    stride = (last - first - TOO_MANY) // later
    return (*range(first, first + TOO_MANY), *(first + TOO_MANY + stride * n for n in range(1, later + 1)))
