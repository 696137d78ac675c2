"""Everything that Nexus raises on purpose.

The first question about an error is whether trying again may help::

    NexusError
    ├── TransientError         trying again may succeed
    │   ├── StoreUnavailable       Redis does not answer
    │   ├── BrokerUnavailable      Kafka does not answer
    │   └── SinkUnavailable        what was written did not become durable
    └── TerminalError          a person must act, or the input is at fault
        ├── SettingsError          wrong usage or setting: exit code 2
        │   └── WrongRule              a rule of the settings, and where it stands
        ├── WrongFormula           a text that is no formula of a derived state, and where it is none
        ├── TooLarge               what was asked for is more than can be shown: exit code 1
        ├── StartRefused           the store or the input is not what may be resumed: exit code 1
        ├── BadMessage             one message is at fault: it becomes a dead letter
        ├── BadValue               one identifier value cannot be normalised: the rest of the event lives on
        └── StoreCorrupt           `check()` found a broken invariant: exit code 1

No message of an error carries a value of a payload: reasons and field paths only, so that errors can be
logged and sent in headers without spreading people's data.
"""


class NexusError(Exception):
    """The root: whoever catches this catches all that Nexus raises on purpose, and nothing else."""


class TransientError(NexusError):
    """Trying again, later and unchanged, may succeed."""


class StoreUnavailable(TransientError):
    """The store does not answer, or lost the connection while it did."""


class BrokerUnavailable(TransientError):
    """The broker does not answer, or none of its nodes can be reached."""


class SinkUnavailable(TransientError):
    """A sink could not confirm that what it was given is durable."""


class TerminalError(NexusError):
    """Trying again unchanged gives the same error."""


class SettingsError(TerminalError):
    """A wrong setting or usage. The message is one line that says what to do; exit code 2."""


class WrongRule(SettingsError):
    """A rule that cannot be taken. `path` leads to it from `rules`: names of mappings, places in lists.

    The message says where and what is allowed. It never holds a value that is to be blocked, which may be
    somebody's address.
    """

    def __init__(self, path: tuple[str | int, ...], says: str) -> None:
        parts = (f" value {part + 1}" if isinstance(part, int) else f".{part}" for part in path)
        super().__init__(f"{''.join(parts).removeprefix('.')} {says}")
        self.path = path


class WrongFormula(TerminalError):
    """A text that is no formula. `place` counts characters from 1, `expected` says what may stand there."""

    def __init__(self, place: int, expected: str) -> None:
        super().__init__(f"at character {place:,}: expected {expected}")
        self.place, self.expected = place, expected


class TooLarge(TerminalError):
    """More identifiers and links than can be shown in one call. `seniors`: keys of the entities concerned."""

    def __init__(self, seniors: tuple[bytes, ...]) -> None:
        super().__init__("the entities concerned are too large for a preview: it can be done, but not shown")
        self.seniors = seniors


class StartRefused(TerminalError):
    """The store or the input is not what may be resumed. The message carries the remedy; exit code 1."""


class StoreCorrupt(TerminalError):
    """An invariant of the store is broken. The message names the invariant and shows the state."""


class BadMessage(TerminalError):
    """A message that cannot be taken: it goes to the dead letters and stops nothing.

    `reason` is a short, stable, kebab-case code that people count and alert on. `detail` is one line that
    says where and which rule, and never holds a value of the payload.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class BadValue(TerminalError):
    """An identifier value that cannot be normalised. `reason` continues the sentence "the value …"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
