"""The rules of a namespace: how values are normalised, which name nobody, what is shared, what is unique.

The answer is a function of the log, *the rules* and now, so rules are values: frozen, equal if they say the
same, with a `version` that is equal exactly then. They come from three places and always through the same
reading: from the `rules:` of the settings file, from the store's JSON, and by default. A file replaces what
it names, property by property, and leaves the rest of the defaults as they are. docs/rules.md tells people
what each rule does.

All that is stated of an identifier type holds for persons and groups alike. Values that a rule names are
normalised when it is read, as the values that it will meet are.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pydantic_core import SchemaError, SchemaValidator, core_schema

from schemas import normalise
from schemas.blocked import blocked, lists_of
from schemas.errors import BadValue, WrongRule
from schemas.events import StateFact
from schemas.identifiers import EntityType, Identifier, MakeIdentifier
from schemas.identifiers import identifier as make_identifier
from schemas.reading import (
    MAX_VALUES,
    Path,
    read_flag,
    read_list,
    read_mapping,
    read_names,
    read_text,
    read_words,
)
from schemas.state_sections import read_states
from schemas.states import StateRules, Trigger, in_order

SECTIONS: Final = ("identifiers", "internal_domains", "traits", "states")
"""What may stand below `rules:`."""
MAX_LIMIT: Final = 10_000
_MAX_SOURCES: Final = 100
_MAX_PATTERNS: Final = 100
_MAX_PATTERN_LENGTH: Final = 256
_REMEMBERED: Final = 200_000


class Limit(NamedTuple):
    """Values of `identifier_type` may have at most `most` partners of `partner_type`; None: of any type."""

    identifier_type: str
    partner_type: str | None
    most: int


@dataclass(frozen=True, slots=True)
class TypeRules:
    """What the rules say of one identifier type. Values are in normal form, whatever has no order is sorted.

    `lists` names the built-in lists that are on, None stands for all of them.
    """

    identifier_type: str
    unique: bool = False
    limits: tuple[tuple[str, int], ...] = ()
    max_degree: int | None = None
    exact: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    lists: tuple[str, ...] | None = None
    ignore_gmail: tuple[str, ...] = ()
    default_region: str | None = None
    redirects: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> normalise.Options | None:
        """How values of the type are normalised, None for the ordinary way."""
        if not (self.ignore_gmail or self.default_region or self.redirects):
            return None
        return normalise.Options(self.ignore_gmail, self.default_region, dict(self.redirects))

    def all_limits(self) -> Iterator[Limit]:
        """The limits by partner type, then the one of all partners."""
        for partner_type, most in self.limits:
            yield Limit(self.identifier_type, partner_type, most)
        if self.max_degree is not None:
            yield Limit(self.identifier_type, None, self.max_degree)

    def as_data(self) -> dict[str, Any]:
        """The type's section as a file could have it, without what goes without saying."""
        values = {"exact": list(self.exact), "patterns": list(self.patterns)}
        blocks: dict[str, Any] = {name: value for name, value in values.items() if value}
        if self.lists is not None:
            blocks["lists"] = list(self.lists)
        data: dict[str, Any] = {
            "unique": self.unique,
            "limits": dict(self.limits),
            "max_degree": self.max_degree,
            "ignore_gmail": list(self.ignore_gmail),
            "default_region": self.default_region,
            "redirects": dict(self.redirects),
            "blocked": blocks,
        }
        return {name: value for name, value in data.items() if value}


_DEFAULTS: Final[Mapping[str, TypeRules]] = MappingProxyType(
    # A device that was seen with more users than that is shared.
    {"anonymous_id": TypeRules("anonymous_id", limits=(("user_id", 2),))}
)


@dataclass(frozen=True)
class Rules:
    """The rules in force; `Rules()` are the defaults. Frozen, hashable, and quick to ask.

    `identifiers` are the types that were listed, in the order of their priority; `others` is what holds of
    types that were not. `trait_sources` are in the order of their priority too, `states` are by name.
    """

    identifiers: tuple[TypeRules, ...] = ()
    internal_domains: tuple[str, ...] = ()
    others: tuple[TypeRules, ...] = tuple(_DEFAULTS.values())
    trait_sources: tuple[str, ...] = ()
    states: tuple[StateRules, ...] = ()

    def __post_init__(self) -> None:
        listed = {each.identifier_type for each in self.identifiers}
        others = tuple(each for each in self.others if each.identifier_type not in listed)
        object.__setattr__(self, "others", others)

    def __reduce__(self) -> tuple[Callable[[str], "Rules"], tuple[str]]:
        return Rules.from_json, (self.to_json(),)  # what is remembered for speed stays behind

    @cached_property
    def version(self) -> str:
        """16 hex digits: the same for the same rules, however they were written down."""
        return blake2b(self.to_json().encode(), digest_size=8, person=b"nexus-rules").hexdigest()

    @cached_property
    def unique(self) -> tuple[str, ...]:
        """The types of which an entity holds at most one value, in the order of the rules."""
        return tuple(each.identifier_type for each in self._all if each.unique)

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """How many partners a value may have, in the order of the rules."""
        return tuple(limit for each in self._all for limit in each.all_limits())

    def priority(self, identifier_type: str) -> int:
        """0 for the type that comes first; types that are not listed come last and are equal."""
        return self._priorities.get(identifier_type, len(self.identifiers))

    def blocked(self, identifier: Identifier) -> str | None:
        """Why this value names nobody, as a reason code, or None when it may name somebody.

        The codes: `internal-domain`, `blocked-value`, `blocked-pattern`, and the names of the built-in lists.
        """
        if identifier in self._internal:
            return "internal-domain"
        guard = self._guards.get(identifier.identifier_type)
        return blocked(identifier) if guard is None else guard.reason(identifier)

    def source_priority(self, source: str) -> int:
        """0 for the source whose word on traits counts first; those not listed come last and are equal."""
        return self._source_priorities.get(source, len(self.trait_sources))

    def states_of(self, entity_type: EntityType) -> tuple[StateRules, ...]:
        """The declared states of such entities, each behind those that its formulas ask for."""
        return self._states_of[entity_type]

    def triggers(self, event_name: str) -> tuple[tuple[StateRules, Trigger], ...]:
        """What events of this name set, each with the state that it sets."""
        return self._triggers.get(event_name, ())

    def accepts(self, state: StateFact, entity_type: EntityType) -> str | None:
        """Why this fact about an entity of that type does not count, as a reason code, or None if it does.

        The codes: `undeclared-value`, `not-a-number`, `derived-state`, `timed-state`, `wrong-entity-type`. A
        state that the rules do not list takes any value.
        """
        declared = self._states.get(state.state_name)
        return None if declared is None else declared.refuses(state, entity_type)

    @cached_property
    def identifier(self) -> MakeIdentifier:
        """Makes an identifier from entity type, identifier type and raw value, normalised under these rules.

        Remembers what it made. Raises `BadValue` for a value without a normal form.
        """
        options = {each.identifier_type: options for each in self._all if (options := each.options)}

        @lru_cache(maxsize=_REMEMBERED)
        def make_optional(entity_type: EntityType, identifier_type: str, raw: str) -> Identifier:
            value = normalise.normalise(identifier_type, raw, options[identifier_type])
            return Identifier(entity_type, identifier_type, value)

        def make(entity_type: EntityType, identifier_type: str, raw: str) -> Identifier:
            chosen = make_optional if identifier_type in options else make_identifier
            return chosen(entity_type, identifier_type, raw)

        return make if options else make_identifier

    def to_json(self) -> str:
        """The one way to write these rules: what the store keeps and the version is taken over."""
        data = {
            "identifiers": [{"type": each.identifier_type, **each.as_data()} for each in self.identifiers],
            "internal_domains": self.internal_domains,
            "others": [{"type": each.identifier_type, **each.as_data()} for each in self.others],
            **self._profiles_as_data(),
        }
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Rules":
        """The rules that `to_json` wrote, read as strictly as a file."""
        path: Path = ("rules",)
        try:
            written = json.loads(text)
        except ValueError:
            raise WrongRule(path, "are no JSON") from None
        data = read_mapping(written, path, (*SECTIONS, "others"))
        listed = _types_of_json(data.get("identifiers"), (*path, "identifiers"))
        others = _types_of_json(data.get("others"), (*path, "others"))
        internal = data.get("internal_domains")
        domains = _values("domain", internal, (*path, "internal_domains"), None)
        return cls(listed, domains, others, **_profiles(data, path))

    @classmethod
    def from_data(cls, section: object) -> "Rules":
        """The rules of a `rules:` section, over the defaults. Raises WrongRule for anything it does not know.

        Each type of `identifiers` keeps what the defaults say of it where it does not name that property.
        """
        path: Path = ("rules",)
        data = read_mapping(section, path, SECTIONS)
        types = read_mapping(data.get("identifiers", {}), (*path, "identifiers"))
        listed = tuple(
            _type_rules(_default(name, (*path, "identifiers", name)), value, (*path, "identifiers", name))
            for name, value in types.items()
        )
        options = next((each.options for each in listed if each.identifier_type == "domain"), None)
        internal = data.get("internal_domains", [])
        domains = _values("domain", internal, (*path, "internal_domains"), options)
        return cls(listed, domains, **_profiles(data, path))

    def as_data(self) -> dict[str, Any]:
        """The `rules:` section that says the same."""
        data = {
            "internal_domains": list(self.internal_domains),
            "identifiers": {each.identifier_type: _over_default(each) for each in self.identifiers},
            **self._profiles_as_data(),
        }
        return {name: value for name, value in data.items() if value}

    def _profiles_as_data(self) -> dict[str, Any]:
        """The sections on traits and states, those that say something."""
        traits = {"sources": list(self.trait_sources)} if self.trait_sources else {}
        states = {each.state_name: each.as_data() for each in self.states}
        return {name: value for name, value in (("traits", traits), ("states", states)) if value}

    @property
    def _all(self) -> tuple[TypeRules, ...]:
        return self.identifiers + self.others

    @cached_property
    def _priorities(self) -> Mapping[str, int]:
        return {each.identifier_type: place for place, each in enumerate(self.identifiers)}

    @cached_property
    def _source_priorities(self) -> Mapping[str, int]:
        return {each: place for place, each in enumerate(self.trait_sources)}

    @cached_property
    def _states(self) -> Mapping[str, StateRules]:
        return {each.state_name: each for each in self.states}

    @cached_property
    def _states_of(self) -> Mapping[EntityType, tuple[StateRules, ...]]:
        ordered = in_order(self.states)
        types: tuple[EntityType, ...] = ("person", "group")
        return {each: tuple(state for state in ordered if state.entity_type == each) for each in types}

    @cached_property
    def _triggers(self) -> Mapping[str, tuple[tuple[StateRules, Trigger], ...]]:
        found: dict[str, list[tuple[StateRules, Trigger]]] = {}
        for state in self.states:
            for trigger in state.triggers:
                found.setdefault(trigger.event_name, []).append((state, trigger))
        return {name: tuple(pairs) for name, pairs in found.items()}

    @cached_property
    def _internal(self) -> frozenset[Identifier]:
        return frozenset(Identifier("group", "domain", each) for each in self.internal_domains)

    @cached_property
    def _guards(self) -> Mapping[str, "_Guard"]:
        return {each.identifier_type: _Guard(each) for each in self._all}


class _Guard:
    """What blocks values of one type, ready to be asked."""

    def __init__(self, rules: TypeRules) -> None:
        self._exact = frozenset(rules.exact)
        self._patterns = tuple(_compiled(each) for each in rules.patterns)
        self._lists = lists_of(rules.identifier_type) if rules.lists is None else rules.lists

    def reason(self, identifier: Identifier) -> str | None:
        """The code of what blocks this value, or None."""
        value = identifier.identifier_value
        if value in self._exact:
            return "blocked-value"
        if any(pattern.isinstance_python(value) for pattern in self._patterns):
            return "blocked-pattern"
        return blocked(identifier, self._lists)


def _compiled(pattern: str) -> SchemaValidator:
    r"""What holds of the texts that the pattern matches as a whole. SchemaError for what is no pattern.

    By the regular expressions of Rust, which pydantic brings along: whatever the pattern, their time is
    linear in the text, so that no rule and no value can hold up the stream. Python's `(a+)+b` takes years.
    """
    _validator(pattern)  # alone first: `a)|(b` is a pattern only inside the brackets
    return _validator(rf"\A(?:{pattern})\z")


def _validator(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True))


# Reading the sections on identifiers, as schemas.reading does.


def _whole(value: object, path: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LIMIT:
        raise WrongRule(path, f"must be a whole number from 1 to {MAX_LIMIT}")
    return value


def _profiles(data: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What the sections on traits and states say, as fields of the rules."""
    traits = read_mapping(data.get("traits", {}), (*path, "traits"), ("sources",))
    sources = read_names(traits.get("sources", []), (*path, "traits", "sources"), _MAX_SOURCES)
    return {"trait_sources": sources, "states": read_states(data.get("states", {}), (*path, "states"))}


def _limits(value: object, path: Path) -> tuple[tuple[str, int], ...]:
    return tuple(
        sorted(
            (_type(name, (*path, name)), _whole(most, (*path, name)))
            for name, most in read_mapping(value, path).items()
        )
    )


def _type(name: str, path: Path) -> str:
    try:
        return normalise.identifier_type(name)
    except BadValue as error:
        raise WrongRule(path, error.reason) from None


def _region(value: object, path: Path) -> str:
    region = read_text(value, path)
    if not normalise.is_region(region):
        raise WrongRule(path, "must be a region in two capital letters, such as DE")
    return region


def _gmail(value: object, path: Path) -> tuple[str, ...]:
    return read_words(value, path, normalise.GMAIL_DIFFERENCES)


def _normal(identifier_type: str, value: object, path: Path, options: normalise.Options | None) -> str:
    raw = read_text(value, path)
    try:
        return normalise.normalise(identifier_type, raw, options or normalise.Options())
    except BadValue as error:
        raise WrongRule(path, error.reason) from None


def _values(
    identifier_type: str, value: object, path: Path, options: normalise.Options | None
) -> tuple[str, ...]:
    given = enumerate(read_list(value, path))
    return tuple(sorted({_normal(identifier_type, each, (*path, place), options) for place, each in given}))


def _redirects(value: object, path: Path) -> tuple[tuple[str, str], ...]:
    """Each domain with the last one that it leads to."""
    given = read_mapping(value, path)
    if len(given) > MAX_VALUES:
        raise WrongRule(path, f"must be a mapping of at most {MAX_VALUES}")
    leads: dict[str, str] = {}
    names: dict[str, str] = {}
    for name, target in given.items():
        source = _normal("domain", name, (*path, name), None)
        if source in leads:
            raise WrongRule((*path, name), f"is given twice: it is the domain {source}")
        leads[source], names[source] = _normal("domain", target, (*path, name), None), name
    ends, circle = _ends(leads)
    if circle is not None:
        raise WrongRule((*path, names[circle]), "leads back to itself: a redirect must end at another domain")
    return tuple(sorted(ends.items()))


def _ends(leads: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """Where each redirect ends, and one that does not. What leads to a known end ends there, too."""
    ends: dict[str, str] = {}
    for source in leads:
        way: set[str] = set()
        here = source
        while here in leads and here not in ends:
            if here in way:
                return ends, here
            way.add(here)
            here = leads[here]
        ends.update(dict.fromkeys(way, ends.get(here, here)))
    return ends, None


def _patterns(value: object, path: Path) -> tuple[str, ...]:
    given = enumerate(read_list(value, path, _MAX_PATTERNS))
    return tuple(sorted({_pattern(each, (*path, place)) for place, each in given}))


def _pattern(value: object, path: Path) -> str:
    pattern = unicodedata.normalize("NFC", read_text(value, path))  # as the values are that it will meet
    if not 0 < len(pattern) <= _MAX_PATTERN_LENGTH:
        raise WrongRule(path, f"must be a pattern of 1 to {_MAX_PATTERN_LENGTH} characters")
    try:
        _compiled(pattern)
    except SchemaError as error:
        _, _, why = str(error).rpartition("error: ")
        known = why if "\n" not in why else "it is too large"
        raise WrongRule(path, f"must be a regular expression in Rust's syntax: {known}") from None
    return pattern


def _default(name: str, path: Path) -> TypeRules:
    return _DEFAULTS.get(name) or TypeRules(_type(name, path))


def _over_default(rules: TypeRules) -> dict[str, Any]:
    """The section that says the same over the defaults: what they say and the rules do not is undone."""
    undone: dict[str, Any] = {"limits": {}} if rules.identifier_type in _DEFAULTS else {}
    return {**undone, **rules.as_data()}


_COMMON: Final[Mapping[str, Callable[[object, Path], Any]]] = MappingProxyType(
    {"unique": read_flag, "limits": _limits, "max_degree": _whole}
)
_OF_TYPE: Final[Mapping[str, Mapping[str, Callable[[object, Path], Any]]]] = MappingProxyType(
    {
        "email": {"ignore_gmail": _gmail},
        "phone": {"default_region": _region},
        "domain": {"redirects": _redirects},
    }
)


def _type_rules(base: TypeRules, section: object, path: Path) -> TypeRules:
    """The type's rules: those of `base`, except where the section names a property."""
    readers = {**_COMMON, **_OF_TYPE.get(base.identifier_type, {})}
    data = read_mapping(section, path, (*readers, "blocked"))
    given = {name: readers[name](value, (*path, name)) for name, value in data.items() if name in readers}
    rules = replace(base, **given)
    return _blocking(rules, data["blocked"], (*path, "blocked")) if "blocked" in data else rules


def _blocking(rules: TypeRules, section: object, path: Path) -> TypeRules:
    """The rules with the values that they block, which are normalised by their options."""
    data, named = read_mapping(section, path, ("exact", "patterns", "lists")), rules.identifier_type
    lists = read_words(data.get("lists", list(lists_of(named))), (*path, "lists"), lists_of(named))
    return replace(
        rules,
        exact=_values(named, data.get("exact", []), (*path, "exact"), rules.options),
        patterns=_patterns(data.get("patterns", []), (*path, "patterns")),
        lists=None if lists == lists_of(named) else lists,
    )


def _types_of_json(value: object, path: Path) -> tuple[TypeRules, ...]:
    return tuple(_type_of_json(each, (*path, place)) for place, each in enumerate(read_list(value, path)))


def _type_of_json(value: object, path: Path) -> TypeRules:
    data = dict(read_mapping(value, path))
    named = _type(read_text(data.pop("type", None), path), path)
    return _type_rules(TypeRules(named), data, path)
