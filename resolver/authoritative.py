"""The authoritative answer: what the whole event log says, computed in the warehouse, in SQL.

It is the answer of `reference`, step by step, where the rows are. The statements stand in `sql/`, one a file,
so that a person can read each, and paste it into the warehouse's console; those that are the same in every
warehouse in `sql/common/`. They make tables named `nexus_work_...` in the warehouse's own schema, each from
those before it; the tables that people read are filled in one transaction, after all their rows are deleted.
Connected components are found in rounds (`_Rounds`), exactly, however long a chain is.

What SQL is not for is decided here, by the functions that the reference uses: which values name nobody
(`schemas.rules`), what operators said (`words`), and which links of a component are suspended that may not be
one entity (`judge`), since links are judged one after the other.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from itertools import count, groupby, product
from operator import itemgetter
from random import Random
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from resolver.judge import Conflict, Edge, Partition, judge
from resolver.profiles import Value, value_bytes
from resolver.store import Command
from resolver.trait_columns import chosen, column_name, spread, united, widened
from resolver.words import Words, words
from schemas.blocked import listed_values
from schemas.formula import Comparison
from schemas.identifiers import ENTITY_TYPES, EntityType, Identifier, Keyring
from schemas.rules import Rules
from schemas.states import Activity, StateRules
from schemas.strict_json import canonical
from schemas.tables import ColumnType, Table, tables

MAX_RECURSION: Final = 100
"""How deep a tree is walked down in one round. Snowflake takes 100 steps unless told otherwise."""
_PRIME: Final = 2**31 - 1

# What is published, table by table, and by which statement: one that comes later may read those before it.
_OF_IDENTITY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nexus_resolved_person_identifiers": "resolved_person_identifiers",
        "nexus_resolved_group_identifiers": "resolved_group_identifiers",
        "nexus_entity_aliases": "entity_aliases",
        "nexus_quarantine": "quarantine",
        "nexus_suspended_links": "suspended_links",
    }
)
_OF_PROFILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nexus_resolved_person_traits": "resolved_person_traits",
        "nexus_resolved_group_traits": "resolved_group_traits",
        "nexus_person_participants": "final_person_participants",
        "nexus_group_participants": "final_group_participants",
        "nexus_persons": "final_persons",
        "nexus_groups": "final_groups",
        "nexus_memberships": "final_memberships",
        "nexus_states": "final_states",
        "nexus_due_states": "due_states",
    }
)
_EDGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "nexus_person_identifiers_edges": "resolved_person_edges",
        "nexus_group_identifiers_edges": "resolved_group_edges",
    }
)

Row = Sequence[Any]
Cut = Mapping[tuple[str, int], int]
"""Where each partition (topic, number) ends: the first offset that is left out."""


class Engine(Protocol):
    """A warehouse as the resolution sees it: a connection to a schema with the tables of one namespace."""

    @property
    def dialect(self) -> str:
        """The folder of its own statements: `duckdb`, `bigquery` or `snowflake`."""

    def execute(self, statement: str) -> None:
        """Run a statement to its end."""

    def rows(self, statement: str) -> Iterable[Row]:
        """The rows that a statement gives."""

    def create(self, tables: Iterable[Table]) -> None:
        """Make the tables that are missing, and the columns that are missing in those that are there."""

    def columns(self, table: str) -> Mapping[str, str]:
        """The types of the columns of a table that is there, by name, as the warehouse calls them."""

    def together(self, statements: Iterable[str]) -> None:
        """Run statements in one transaction: others see what all of them do in one moment."""

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Row]) -> None:
        """Make a small table of these rows, in the place of any that has its name. Instants are in ms."""


class Part(Protocol):
    """A part of the log that is enough, where the rest of the last answer stands: see `touched`."""

    @property
    def standing(self) -> Sequence[Row]:
        """Rows of `nexus_suspended_links` that stand, once it was narrowed."""

    def narrow(self) -> None:
        """Let the resolution look at the part alone."""


class Report(NamedTuple):
    """How it went: rounds, the deepest tree, and the links that unite nothing, each with its reason."""

    rounds: int
    depth: int
    suspended: Mapping[Edge, Conflict]


@dataclass(frozen=True, slots=True)
class Authoritative:
    """Computes the answer in one warehouse. Nothing else may do so at the same time.

    Of a `part` only what it comes to is computed, and put in the place of that in the last answer.
    """

    engine: Engine
    keyring: Keyring
    max_recursion: int = MAX_RECURSION
    part: Part | None = None

    def resolve(
        self,
        rules: Rules,
        commands: Iterable[Command],
        cut: Cut | None = None,
        until_ms: int | None = None,
    ) -> Report:
        """Make the tables of identity from the log up to the cut (none: its end) and up to an instant (none:
        whenever it came in).
        """
        said = words(self.keyring, commands)
        inputs = _Inputs(self.engine, rules, said)
        inputs.load(cut, until_ms)
        self._narrow()
        _run(self.engine, "identifiers", "links")
        if self.part is not None:
            _run(self.engine, "fringe")
        inputs.load_nameless()
        _run(self.engine, "members", "nodes", "quarantined", "guarded", "components", "pairs", "edges")
        rounds, depth = _Rounds(self.engine, self.max_recursion).unite()
        suspended = self._judge(rules, said)
        _run(self.engine, "entities")
        return Report(rounds, depth, suspended)

    def describe(self, rules: Rules, now_ms: int) -> None:
        """Make the tables of profiles: what the log says of the entities that `resolve` found, as of now."""
        _Profiles(self.engine, rules, is_part=self.part is not None).make(now_ms)

    def publish(self, report: Report, made_ms: int) -> None:
        """Let people see what `resolve` and `describe` found, made at this instant: see `schemas.tables`.
        Whoever asks while it goes on sees all of the answer before, in all tables.
        """
        self._load_suspended(report)
        self.engine.replace("nexus_work_made", {"made_at": "instant"}, [(made_ms,)])
        _run(self.engine, "lives")
        statements = self._texts({**_OF_IDENTITY, **_EDGES, **_OF_PROFILES})
        self.engine.create(tables()[name] for name in statements)
        columns, dialect = self._widen(), self.engine.dialect
        for entity_type, names in columns.items():
            table = f"nexus_{entity_type}s"
            statements[table] = spread(dialect, statements[table], names)
        _run(self.engine, "view_relationships", "view_entity_participants")
        self.engine.execute(united(dialect, statement(dialect, "view_entities"), *columns.values()))
        self._put(statements)

    def publish_identity(self, report: Report) -> None:
        """The same of who is who alone."""
        self._load_suspended(report)
        self.engine.create(tables()[name] for name in _OF_IDENTITY)
        self._put(self._texts(_OF_IDENTITY))

    def _texts(self, steps: Mapping[str, str]) -> dict[str, str]:
        return {table: statement(self.engine.dialect, step) for table, step in steps.items()}

    def _load_suspended(self, report: Report) -> None:
        columns = {column.name: column.type for column in tables()["nexus_suspended_links"].columns}
        suspended = [self._suspended(edge, why) for edge, why in report.suspended.items()]
        standing = [] if self.part is None else self.part.standing
        self.engine.replace("nexus_work_suspended", columns, [*standing, *suspended])

    def _widen(self) -> dict[EntityType, tuple[str, ...]]:
        """Give persons and groups the columns for traits that they need; all that they have then."""
        traits = [
            (entity_type, name, int(count)) for entity_type, name, count in _rows(self.engine, "trait_names")
        ]
        types = [(entity_type, name) for entity_type, name in _rows(self.engine, "identifier_types")]
        found: dict[EntityType, tuple[str, ...]] = {}
        for entity_type in ENTITY_TYPES:
            table = tables()[f"nexus_{entity_type}s"]
            there = self.engine.columns(table.name)
            ours = [
                name for name, kind in there.items() if kind == there["traits"] and name not in table.names
            ]
            of_types = (name for one, name in types if one == entity_type)
            of_traits = ((name, count) for one, name, count in traits if one == entity_type)
            found[entity_type] = chosen(ours, of_types, of_traits)
            self.engine.create([widened(table, found[entity_type])])
        self._load_columns(found, traits, types)
        return found

    def _load_columns(
        self,
        columns: Mapping[EntityType, Sequence[str]],
        traits: Iterable[tuple[EntityType, str, int]],
        types: Iterable[tuple[EntityType, str]],
    ) -> None:
        """Say which column each trait and each type has, and make the texts that come into them."""

        def column_of(entity_type: EntityType, name: str) -> str | None:
            column = column_name(name)
            return column if column in columns[entity_type] else None

        text: ColumnType = "text"
        self.engine.replace(
            "nexus_work_trait_columns",
            dict.fromkeys(("entity_type", "trait_name", "trait_key", "column_name"), text),
            [(one, name, canonical(name).decode(), column_of(one, name)) for one, name, _ in traits],
        )
        self.engine.replace(
            "nexus_work_identifier_columns",
            dict.fromkeys(("entity_type", "identifier_type", "column_name"), text),
            [(one, name, column_of(one, name)) for one, name in types],
        )
        _run(self.engine, "objects", "plain_traits", "texts")

    def _narrow(self) -> None:
        _run(self.engine, "all_named")
        if self.part is not None:
            self.part.narrow()
            return
        _run(self.engine, "named")
        self.engine.replace("nexus_work_fringe", {"node": "int"}, ())

    def _put(self, statements: Mapping[str, str]) -> None:
        """Put what these statements give in the place of what their tables hold, in one moment; of a part,
        in the place of what it was in the last answer.
        """
        is_part = self.part is not None
        deletes = [f"DELETE FROM {name} WHERE {_touched(name) if is_part else 'TRUE'}" for name in statements]
        self.engine.together([*deletes, *statements.values()])

    def _suspended(self, edge: Edge, why: Conflict) -> Row:
        set_key = self.keyring.handle(b"".join(edge.keys))
        keys = canonical([key.hex() for key in edge.keys]).decode()
        apart = None if why.apart is None else canonical([key.hex() for key in why.apart]).decode()
        return edge.kind, keys, set_key, edge.position, why.unique, apart

    def _judge(self, rules: Rules, said: Words) -> dict[Edge, Conflict]:
        """Divide the components that may not be one entity."""
        if not rules.unique and not said.standing("apart"):
            return {}
        _run(self.engine, "conflicts")
        judged, suspended = _Dispute(self.engine, rules, said).settle()
        self.engine.replace("nexus_work_judged", {"node": "int", "component": "int"}, judged)
        _run(self.engine, "judged")
        return suspended


_OF_IDENTIFIERS: Final = "{column} IN (SELECT identifier_key FROM nexus_work_inside)"
_OF_ENTITIES: Final = "{column} IN (SELECT entity_id FROM nexus_work_region)"


def _touched(table: str) -> str:
    """Which rows of a table a part may change: those that name one of its identifiers, or entities."""
    if table == "nexus_suspended_links":
        return "TRUE"  # those that stand are put in again
    names = tables()[table].names
    keys = [name for name in ("identifier_key", "identifier_key_a") if name in names]
    ids = [name for name in ("entity_id", "person_id", "group_id") if name in names]
    found = [_OF_IDENTIFIERS.format(column=key) for key in keys]
    return " OR ".join(found or (_OF_ENTITIES.format(column=one) for one in ids))


def method(dialect: str) -> str:
    """16 hexadecimal digits, the same for the same statements: what was made by others may be otherwise."""
    sql = files("resolver").joinpath("sql")
    folders = (sql.joinpath("common"), sql.joinpath(dialect))
    texts = {(folder.name, one.name): one.read_bytes() for folder in folders for one in folder.iterdir()}
    return blake2b(b"".join(text for _, text in sorted(texts.items())), digest_size=8).hexdigest()


@cache
def statement(dialect: str, name: str) -> str:
    """The text of a statement: the dialect's own, or the one that is the same for all."""
    sql = files("resolver").joinpath("sql")
    own = sql.joinpath(dialect, f"{name}.sql")
    return (own if own.is_file() else sql.joinpath("common", f"{name}.sql")).read_text("utf-8")


def _run(engine: Engine, *names: str) -> None:
    for name in names:
        engine.execute(statement(engine.dialect, name))


def _rows(engine: Engine, name: str) -> Iterable[Row]:
    return engine.rows(statement(engine.dialect, name))


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What rules and operators say, as small tables."""

    engine: Engine
    rules: Rules
    said: Words

    def load(self, cut: Cut | None, until_ms: int | None) -> None:
        """All that does not depend on what the log holds, and where the log ends."""
        replace = self.engine.replace
        ends = self._ends() if cut is None else [(*partition, end) for partition, end in cut.items()]
        columns: dict[str, ColumnType] = {"topic": "text", "log_partition": "int", "next_offset": "int"}
        within = [(*end, until_ms) for end in ends]
        replace("nexus_work_cut", {**columns, "until_at": "instant"}, within)
        limits = [(place, *limit) for place, limit in enumerate(self.rules.limits)]
        replace(
            "nexus_work_limits",
            {"limit_index": "int", "identifier_type": "text", "partner_type": "text", "most": "int"},
            limits,
        )
        of_type: dict[str, ColumnType] = {"identifier_type": "text"}
        replace("nexus_work_unique", of_type, [(name,) for name in self.rules.unique])
        self._load_keys("blocked", self.said.blocked)
        self._load_keys("exempt", self.said.blocked | self.said.released)
        self._load_keys("reborn", self.said.reborn)
        replace("nexus_work_retracted", {"source": "text", "event_id": "text"}, sorted(self.said.retracted))
        for kind in ("together", "apart"):
            pairs = [keys for keys, _ in self.said.standing(kind)]
            replace(f"nexus_work_{kind}", {"one_key": "bytes", "other_key": "bytes"}, pairs)
        types = (*self.rules.identifiers, *self.rules.others)
        named = {value for each in types for value in each.exact}.union(self.rules.internal_domains)
        listed = {value.lower() for value in named | listed_values()}
        replace("nexus_work_words", {"word": "text"}, [(value,) for value in sorted(listed)])
        patterned = [(each.identifier_type,) for each in types if each.patterns]
        replace("nexus_work_patterns", of_type, patterned)

    def load_nameless(self) -> None:
        """Which of the identifiers in the log name nobody."""
        nameless = [
            (node,)
            for node, *named in _rows(self.engine, "candidates")
            if self.rules.blocked(Identifier(*named)) is not None
        ]
        self.engine.replace("nexus_work_nameless", {"node": "int"}, nameless)

    def _ends(self) -> Iterable[Row]:
        return list(_rows(self.engine, "ends"))

    def _load_keys(self, name: str, keys: Iterable[bytes]) -> None:
        rows = [(key,) for key in sorted(keys)]
        self.engine.replace(f"nexus_work_{name}", {"identifier_key": "bytes"}, rows)


@dataclass(frozen=True, slots=True)
class _Rounds:
    """Finds connected components by contraction, on any engine that knows recursive queries.

    1. *Hook*: each component points to the neighbour with the least salted number, if that is less than its
       own. Pointers only go down, so they are a forest.
    2. *Walk*: from the roots of the trees down; what is below a root belongs to it.
    3. *Contract*: edges are now between roots. Again, with another salt, until none is left.

    The salt is why few rounds and shallow trees do: without it a chain that is sorted is one tree, as deep as
    the chain is long. A tree that is deeper than `max_recursion` is only walked so far, and what is below
    comes with the next round: each round contracts at least one edge.
    """

    engine: Engine
    max_recursion: int

    def unite(self) -> tuple[int, int]:
        """Make the components; how many rounds it took, and how deep the deepest tree was."""
        rounds, deepest = 0, 0
        columns: dict[str, ColumnType] = {"factor": "int", "shift": "int", "max_recursion": "int"}
        while self._is_more():
            random = Random(rounds)  # any numbers do, and the same ones in every run
            salt = (random.randrange(1, _PRIME), random.randrange(_PRIME), self.max_recursion)
            self.engine.replace("nexus_work_salt", columns, [salt])
            _run(self.engine, "hook", "walk", "joined", "contract")
            deepest = max(deepest, self._number("SELECT MAX(depth) FROM nexus_work_walk"))
            rounds += 1
        return rounds, deepest

    def _is_more(self) -> bool:
        return self._number("SELECT COUNT(*) FROM nexus_work_edges") > 0

    def _number(self, query: str) -> int:
        ((number,),) = self.engine.rows(query)
        return int(number)


@dataclass(slots=True)
class _Dispute:
    """The components that may not be one entity, judged by the reference's own function."""

    engine: Engine
    rules: Rules
    said: Words
    _types: dict[bytes, str] = field(default_factory=dict)
    _nodes: dict[bytes, int] = field(default_factory=dict)

    def settle(self) -> tuple[list[tuple[int, int]], dict[Edge, Conflict]]:
        """The component of each of their identifiers, and the edges that are suspended."""
        for node, key, identifier_type in _rows(self.engine, "disputed_identifiers"):
            self._nodes[bytes(key)], self._types[bytes(key)] = node, identifier_type
        partition = self._partition()
        for key in self._nodes:
            partition.add(key)
        suspended = judge(self._edges(), partition)
        parts = ([self._nodes[key] for key in part] for part in partition.parts)
        return [(node, min(part)) for part in parts for node in part], suspended

    def _partition(self) -> Partition:
        apart: dict[bytes, set[bytes]] = {}
        for (one, other), _ in self.said.standing("apart"):
            apart.setdefault(one, set()).add(other)
            apart.setdefault(other, set()).add(one)
        return Partition(self._unique_type, apart, self.rules.unique)

    def _unique_type(self, key: bytes) -> str | None:
        kind = self._types[key]
        return kind if kind in self.rules.unique else None

    def _edges(self) -> Iterator[Edge]:
        for keys, said in self.said.standing("together"):
            yield Edge("together", said.position, keys)
        for one, other in _rows(self.engine, "disputed_synonyms"):
            low, high = sorted((bytes(one), bytes(other)))
            yield Edge("synonym", b"", (low, high))
        first: dict[tuple[bytes, ...], bytes] = {}
        for _, rows in groupby(_rows(self.engine, "disputed_links"), key=itemgetter(0)):
            named = list(rows)
            keys, position = tuple(bytes(row[2]) for row in named), bytes(named[0][1])
            first[keys] = min(position, first.get(keys, position))
        for keys, position in first.items():
            yield Edge("event", position, keys)


_STEPS: Final[Mapping[str, ColumnType]] = MappingProxyType(
    {
        "entity": "int",
        "entity_type": "text",
        "state_name": "text",
        "at_ms": "int",
        "has_value": "int",
        "state_value": "text",
        "state_numeric_value": "float",
        "event_id": "text",
    }
)
_VALUE: Final[Mapping[str, ColumnType]] = MappingProxyType(
    {"state_value": "text", "state_numeric_value": "float"}
)
_OF_FORMULAS: Final = "WHEN 1 = 0 THEN 0 -- the formulas stand in this line's place, first to last"


@dataclass(frozen=True, slots=True)
class _Profiles:
    """What the log says of entities: traits, memberships and the timelines of their states."""

    engine: Engine
    rules: Rules
    is_part: bool = False

    def make(self, now_ms: int) -> None:
        """Make all of it."""
        sources = [(name, place) for place, name in enumerate(self.rules.trait_sources)]
        self.engine.replace("nexus_work_sources", {"source": "text", "priority": "int"}, sources)
        types = [(each.identifier_type, place) for place, each in enumerate(self.rules.identifiers)]
        columns: dict[str, ColumnType] = {"identifier_type": "text", "priority": "int"}
        self.engine.replace("nexus_work_priorities", columns, types)
        _run(self.engine, "homes")
        self._look_outside()
        _run(self.engine, "traits", "memberships", "participants")
        self._make_base()
        self._make_timed(now_ms)
        for entity_type in ENTITY_TYPES:
            for state in self.rules.states_of(entity_type):
                if state.derived:
                    self._make_derived(state)

    def _look_outside(self) -> None:
        """Whose memberships those inside of a part share."""
        if self.is_part:
            _run(self.engine, "outsiders")
        else:
            columns: dict[str, ColumnType] = {"set_key": "bytes", "entity_id": "text", "entity": "int"}
            self.engine.replace("nexus_work_outsiders", columns, ())

    def _make_base(self) -> None:
        self._load_declared()
        columns: dict[str, ColumnType] = {
            "entity": "int",
            "entity_type": "text",
            "state_name": "text",
            **_VALUE,
        }
        origin: dict[str, ColumnType] = {"occurred_ms": "int", "source": "text", "event_id": "text"}
        self.engine.replace("nexus_work_facts", {**columns, **origin}, ())
        _run(self.engine, "sent_states", "triggered_states")
        tied = [Value(*row) for row in _rows(self.engine, "tied_values")]
        ordered = [(*value, place) for place, value in enumerate(sorted(tied, key=value_bytes))]
        self.engine.replace("nexus_work_tied", {**_VALUE, "place": "int"}, ordered)
        interval: dict[str, ColumnType] = {"entered_ms": "int", "exited_ms": "int", "event_id": "text"}
        self.engine.replace("nexus_work_states", {**columns, **interval}, ())
        self._fold("base_steps")

    def _fold(self, *steps: str) -> None:
        """Add what these steps come to, to the timelines."""
        self.engine.replace("nexus_work_steps", _STEPS, ())
        _run(self.engine, *steps, "fold")

    def _load_declared(self) -> None:
        states = self.rules.states
        declared: dict[str, ColumnType] = {"state_name": "text", "entity_type": "text"}
        flags: dict[str, ColumnType] = {"takes_facts": "bool", "is_numeric": "bool"}
        self.engine.replace(
            "nexus_work_declared",
            {**declared, **flags},
            [(each.state_name, each.entity_type, _takes_facts(each), each.numeric) for each in states],
        )
        values = [(each.state_name, value) for each in states for value in each.values]
        named: dict[str, ColumnType] = {"state_name": "text", "state_value": "text"}
        self.engine.replace("nexus_work_declared_values", named, values)
        set_to: dict[str, ColumnType] = {"state_value": "text", "measurement_name": "text"}
        by: dict[str, ColumnType] = {"event_name": "text", "source": "text", "role": "text"}
        triggers = [
            (each.state_name, each.entity_type, on.value, on.measurement, on.event_name, on.source, on.role)
            for each in states
            for on in each.triggers
        ]
        self.engine.replace("nexus_work_triggers", {**declared, **set_to, **by}, triggers)

    def _make_timed(self, now_ms: int) -> None:
        timed = [row for state in self.rules.states for row in _timed_rows(state)]
        if not timed:
            self.engine.replace("nexus_work_due", {"entity": "int", "due_ms": "int"}, ())
            return
        watched = [row for state in self.rules.states for row in _watched_rows(state)]
        of_state: dict[str, ColumnType] = {"state_name": "text"}
        becomes: dict[str, ColumnType] = {"duration_ms": "int", "state_value": "text", "value_before": "text"}
        self.engine.replace("nexus_work_timed", {**of_state, **becomes}, timed)
        at: dict[str, ColumnType] = {
            "entity_type": "text",
            "side": "text",
            "event_name": "text",
            "role": "text",
        }
        self.engine.replace("nexus_work_watched", {**of_state, **at}, watched)
        self.engine.replace("nexus_work_now", {"now_ms": "int"}, [(now_ms,)])
        _run(self.engine, "activity", "runs")
        self._fold("after_steps", "within_steps")
        _run(self.engine, "due")

    def _make_derived(self, state: StateRules) -> None:
        numbers = count()
        formulas = [formula for _, formula in state.derived]
        cases = [f"WHEN {each.to_sql(numbers)} THEN {place}" for place, each in enumerate(formulas)]
        every = enumerate(one for each in formulas for one in each.comparisons())
        compared = [row for number, one in every for row in _compared(number, one)]
        columns: dict[str, ColumnType] = {"comparison": "int", "input_name": "text", "sign": "text"}
        values: dict[str, ColumnType] = {"text_value": "text", "number_value": "float"}
        replace = self.engine.replace
        replace("nexus_work_comparisons", {**columns, **values}, compared)
        outcomes = [(place, value) for place, (value, _) in enumerate(state.derived)]
        replace("nexus_work_outcomes", {"outcome": "int", "state_value": "text"}, outcomes)
        declared: dict[str, ColumnType] = {"state_name": "text", "entity_type": "text"}
        replace("nexus_work_derived", declared, [(state.state_name, state.entity_type)])
        replace("nexus_work_steps", _STEPS, ())
        steps = statement(self.engine.dialect, "derived_steps")
        self.engine.execute(steps.replace(_OF_FORMULAS, "\n            ".join(cases)))
        _run(self.engine, "fold")


def _takes_facts(state: StateRules) -> bool:
    return not state.derived and state.after is None and state.within is None


def _timed_rows(state: StateRules) -> Iterator[Row]:
    """State, duration (ms), value, and the one before it."""
    if state.after is not None:
        yield state.state_name, state.after.duration_ms, state.after.value, state.after.before
    if state.within is not None:
        yield state.state_name, state.within.duration_ms, state.within.value, None


def _watched_rows(state: StateRules) -> Iterator[Row]:
    """State, entity type, side, event name and role of what a timed state looks at; None: any."""
    sides: list[tuple[str, Activity]] = []
    if state.after is not None:
        sides.append(("active", state.after.activity))
    if state.within is not None:
        sides += [("since", state.within.since), ("until", state.within.until)]
    for side, activity in sides:
        for event_name, role in product(activity.event_names or (None,), activity.roles or (None,)):
            yield state.state_name, state.entity_type, side, event_name, role


def _compared(number: int, comparison: Comparison) -> Iterator[Row]:
    """Number, state, sign, text and number of each value that a comparison compares with."""
    sign = "=" if comparison.sign == "in" else comparison.sign
    for value in comparison.values:
        text, amount = (value, None) if isinstance(value, str) else (None, value)
        yield number, comparison.name, sign, text, amount
