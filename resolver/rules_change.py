"""What a change of the rules concerns. Pure: rules in, what differs out.

Limits and unique types concern the identifiers of their types, values that are newly blocked concern
themselves. What is no longer blocked was never stored: only the log could tell what it would have given, so
it is *untold* until somebody reads the log again. Other states make something else of facts that were told
already, and another normaliser other values of the same raw ones: such changes are refused.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from schemas.blocked import lists_of
from schemas.errors import SettingsError
from schemas.identifiers import Identifier
from schemas.rules import Rules, TypeRules

_RESTATED: Final = MappingProxyType({"traits": "trait_sources", "states": "states"})


class RulesRefused(SettingsError):
    """Rules that a live namespace cannot take: `refused` is what they say otherwise than those in force."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        super().__init__(
            f"these rules differ from those in force in {', '.join(refused)}, which a store that is in use "
            f"cannot take: {remedy(refused)} (docs/rules.md)"
        )
        self.refused = refused


def remedy(refused: Collection[str]) -> str:
    """How to go on with rules that a store in use cannot take, in words."""
    if _RESTATED.keys() >= set(refused):
        return "put them into the settings, stop what runs, empty Redis, and fill it by `nexus rebuild`"
    return "what was stored stays as it is, so read the topics from their beginning under another namespace"


@dataclass(frozen=True)
class RulesChange:
    """From rules that were in force, one after the other, to those that are to be.

    There are several where rules were changed again before everything that the first change concerned was
    settled.
    """

    former: tuple[Rules, ...]
    rules: Rules

    @cached_property
    def renormalised(self) -> tuple[str, ...]:
        """Identifier types whose values are normalised otherwise."""
        now = {each.identifier_type: each.options for each in _types(self.rules)}
        found = set()
        for former in self.former:
            then = {each.identifier_type: each.options for each in _types(former)}
            found |= {kind for kind in now.keys() | then.keys() if now.get(kind) != then.get(kind)}
        return tuple(sorted(found))

    @cached_property
    def restated(self) -> tuple[str, ...]:
        """The sections that say otherwise what traits and states are made of facts."""
        return tuple(
            section
            for section, name in _RESTATED.items()
            if any(getattr(former, name) != getattr(self.rules, name) for former in self.former)
        )

    @property
    def refused(self) -> tuple[str, ...]:
        """What a live namespace cannot take. What other states and traits would have given only the event log
        could tell, of another normaliser only the raw topics.
        """
        types = tuple(f"the normal form of {kind}" for kind in self.renormalised)
        return (*types, *self.restated)

    @cached_property
    def recounted(self) -> frozenset[str]:
        """Identifier types whose limits are others."""
        differing = set(self.rules.limits).symmetric_difference
        return frozenset(limit.identifier_type for one in self.former for limit in differing(one.limits))

    @cached_property
    def newly_unique(self) -> tuple[str, ...]:
        """Identifier types that are unique and were not."""
        return tuple(
            kind for kind in self.rules.unique if any(kind not in former.unique for former in self.former)
        )

    @cached_property
    def is_rejudged(self) -> bool:
        """Whether suspended links are judged anew: their reason may be another, or whose facts they hold."""
        return any(_judging(former) != _judging(self.rules) for former in self.former)

    @cached_property
    def may_block(self) -> bool:
        """Whether values may be blocked that were not."""
        return any(_blocks(former) != _blocks(self.rules) for former in self.former)

    @cached_property
    def untold(self) -> tuple[str, ...]:
        """What was blocked by the last of the former rules and no longer is, as JSON objects."""
        return tuple(_told(what) for what in self._untold(self.former[-1]))

    def _untold(self, former: Rules) -> Iterator[Mapping[str, str]]:
        now = {each.identifier_type: each for each in _types(self.rules)}
        for then in _types(former):
            yield from self._untold_of(then, now.get(then.identifier_type, TypeRules(then.identifier_type)))
        for domain in former.internal_domains:
            if self.rules.blocked(Identifier("group", "domain", domain)) is None:
                yield {"type": "domain", "internal": domain}
        was_listed = {each.identifier_type: set(_lists(each)) for each in _types(former)}
        for each in _types(self.rules):
            kind = each.identifier_type
            was = was_listed.get(kind, set(lists_of(kind)))
            yield from ({"type": kind, "list": name} for name in sorted(was.difference(_lists(each))))

    def _untold_of(self, then: TypeRules, now: TypeRules) -> Iterator[Mapping[str, str]]:
        kind = then.identifier_type
        for value in then.exact:
            if self.rules.blocked(Identifier("person", kind, value)) is None:
                yield {"type": kind, "exact": value}
        for pattern in then.patterns:
            if pattern not in now.patterns:
                yield {"type": kind, "pattern": pattern}


def _judging(rules: Rules) -> tuple[object, ...]:
    """What suspended links depend on; the order of the types says which identifier is their anchor."""
    return rules.unique, tuple(each.identifier_type for each in rules.identifiers)


def _types(rules: Rules) -> tuple[TypeRules, ...]:
    return rules.identifiers + rules.others


def _lists(each: TypeRules) -> tuple[str, ...]:
    return lists_of(each.identifier_type) if each.lists is None else each.lists


def _blocks(rules: Rules) -> tuple[tuple[str, ...], Mapping[str, tuple[object, ...]]]:
    """All that blocks values, so that it can be compared."""
    of_types = {each.identifier_type: (each.exact, each.patterns, each.lists) for each in _types(rules)}
    return rules.internal_domains, {kind: each for kind, each in of_types.items() if each != ((), (), None)}


def _told(what: Mapping[str, str]) -> str:
    return json.dumps(what, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
