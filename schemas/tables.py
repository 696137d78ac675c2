"""Every table of the warehouse, declared once: what one row is, its columns, its key, how it is laid out.

Layers: the *log* is what came in: `flows.archive` appends to it, an erasure takes out of it, nothing else
changes it. *Resolved* and *final* tables are made from the log by the authoritative resolution, *views* are
other shapes of the final ones, and what is *kept* says how far they are. Names are those of the dbt package
dbt-nexus, and so are those of the columns that both have.

One warehouse schema (BigQuery: dataset) holds one namespace, so no table has a column for it.

The log is a set. The same event may stand in it more than once, at several places of the input; who reads it
takes distinct content, the lowest `log_position`, and the highest `ingested_at`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from schemas.identifiers import ENTITY_TYPES, EntityType

ColumnType = Literal["text", "bytes", "int", "float", "bool", "instant", "json"]
"""`instant` is UTC, to the millisecond; `json` is text, of traits canonical: keys sorted, no white space."""

Layer = Literal["log", "resolved", "final", "view", "kept"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `doc` is one sentence, for people who query it."""

    name: str
    type: ColumnType
    doc: str
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `key` names the columns that tell its rows apart. `partition_by` is the instant whose months
    divide the table, and rows that are equal in `cluster_by` lie together.
    """

    name: str
    layer: Layer
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: str | None = None
    cluster_by: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its columns, in order."""
        return tuple(column.name for column in self.columns)

    def place(self, name: str) -> int:
        """The place of a column in a row."""
        return self.names.index(name)


def quoted(dialect: str, name: str) -> str:
    """A column's name as a statement has it, whatever words the dialect keeps to itself. Who asks writes it
    without quotes: Snowflake reads such a name in capitals.
    """
    match dialect:
        case "bigquery":
            return f"`{name}`"
        case "snowflake":
            return f'"{name.upper()}"'
    return f'"{name}"'


def _maybe(name: str, kind: ColumnType, doc: str) -> Column:
    return Column(name, kind, doc, is_required=False)


# the log

_PLACE: Final = (
    Column("topic", "text", "The topic that the message lay in; `input` for the input log."),
    Column("log_partition", "int", "Its partition; 0 for the input log."),
    Column("log_offset", "int", "Its offset: a count of messages in Kafka, of bytes in the input log."),
)
_EVENT: Final = (
    *_PLACE,
    Column("event_index", "int", "Which of the message's events it is, from 0."),
    Column("ingested_at", "instant", "When the system first saw the message."),
    Column(
        "log_position", "bytes", "`ingested_at`, `source`, `event_id` as bytes whose order is the log order."
    ),
    Column("source", "text", "The system that the event comes from."),
    Column("event_id", "text", "The event's id, unique within its source."),
    Column("occurred_at", "instant", "When it happened."),
)
_EVENT_KEY: Final = ("topic", "log_partition", "log_offset", "event_index")
_PARTICIPANT: Final = Column("participant_index", "int", "Which participant of the event it is, from 0.")
_SET_KEY: Final = Column(
    "set_key",
    "bytes",
    "16 bytes: a keyed hash of all identifiers of the participant as named; equal for equal sets.",
)
_ENTITY_TYPE: Final = Column("entity_type", "text", "`person` or `group`.")
_IDENTIFIER: Final = (
    Column("identifier_type", "text", "Such as `email`."),
    Column("identifier_value", "text", "The value, normalised."),
    Column(
        "identifier_key", "bytes", "16 bytes: its keyed hash, another one if it came back after an erasure."
    ),
)
_ROLE: Final = _maybe("role", "text", "In which role.")


def _of_event(name: str, doc: str, *columns: Column, key: tuple[str, ...], by: tuple[str, ...]) -> Table:
    return Table(name, "log", doc, (*_EVENT, *columns), (*_EVENT_KEY, *key), "ingested_at", by)


def _identifiers(entity_type: EntityType) -> Table:
    return _of_event(
        f"nexus_{entity_type}_identifiers",
        f"One row for each identifier of a {entity_type} that an event mentions.",
        _PARTICIPANT,
        _ROLE,
        Column("event_name", "text", "What happened."),
        *_IDENTIFIER,
        _SET_KEY,
        key=("participant_index", "identifier_key"),
        by=("identifier_type", "identifier_value"),
    )


def _traits(entity_type: EntityType) -> Table:
    return _of_event(
        f"nexus_{entity_type}_traits",
        f"One row for each trait that an event says of a {entity_type}.",
        _PARTICIPANT,
        _SET_KEY,
        Column("trait_name", "text", "The name of the trait."),
        Column("trait_value", "json", "Its value; `null` says that there is none any more."),
        key=("participant_index", "trait_name"),
        by=("trait_name",),
    )


LOG: Final[tuple[Table, ...]] = (
    _of_event(
        "nexus_events",
        "One row for each event that names somebody. One that names only who was erased has none.",
        Column("event_name", "text", "What happened."),
        _maybe("event_type", "text", "Of which kind that is, such as `billing`."),
        Column("rejected", "json", "Values without a normal form: whose, of which type, why."),
        key=(),
        by=("source", "event_name"),
    ),
    *map(_identifiers, ENTITY_TYPES),
    *map(_traits, ENTITY_TYPES),
    _of_event(
        "nexus_membership_identifiers",
        "One row for each membership that an event speaks of.",
        Column("membership_index", "int", "Which membership of the event it is, from 0."),
        Column("person_index", "int", "The `participant_index` of the person."),
        Column("person_set_key", "bytes", "The `set_key` of the person."),
        Column("group_index", "int", "The `participant_index` of the group."),
        Column("group_set_key", "bytes", "The `set_key` of the group."),
        _ROLE,
        Column("ended", "bool", "Whether it says that the membership ended."),
        key=("membership_index",),
        by=("person_set_key",),
    ),
    _of_event(
        "nexus_state_facts",
        "One row for each state that a producer sent. What rules make of events is not in it.",
        Column("state_index", "int", "Which state of the event it is, from 0."),
        _PARTICIPANT,
        _ENTITY_TYPE,
        _SET_KEY,
        Column("state_name", "text", "The name of the state."),
        _maybe("state_value", "text", "What it became, as text."),
        _maybe("state_numeric_value", "float", "What it became, as a number."),
        key=("state_index",),
        by=("state_name",),
    ),
    _of_event(
        "nexus_event_measurements",
        "One row for each number that an event carries.",
        Column("measurement_index", "int", "Which measurement of the event it is, from 0."),
        Column("measurement_name", "text", "What was measured."),
        Column("value", "float", "How much."),
        _maybe("unit", "text", "Of what; for money the ISO 4217 code."),
        key=("measurement_index",),
        by=("measurement_name",),
    ),
    Table(
        "nexus_transitions",
        "log",
        "One row for each change of the answer that was published. A replay publishes the same id again.",
        (
            Column("transition_id", "text", "32 hexadecimal digits, made from what the transition says."),
            Column("generation", "int", "Which telling of the story it belongs to."),
            Column("number", "int", "Its place in the generation, from 1."),
            Column("transition", "text", "Of which kind it is, such as `entities_merged`."),
            _ENTITY_TYPE,
            Column("entity_id", "text", "The entity that it is about."),
            _maybe("other_id", "text", "The other one: absorbed, former, a part, or a group."),
            Column("occurred_at", "instant", "When its cause came in."),
            Column("source", "text", "The source of its cause."),
            Column("event_id", "text", "The event id of its cause."),
            Column("message", "json", "The whole transition, as published."),
        ),
        ("transition_id",),
        "occurred_at",
        ("entity_id",),
    ),
    Table(
        "nexus_operator_events",
        "log",
        "One row for each decision of an operator. It names identifiers by their keys alone.",
        (
            *_PLACE,
            Column("ingested_at", "instant", "When it came in."),
            Column("log_position", "bytes", "Its place in the log order."),
            Column("operation_id", "text", "32 hexadecimal digits."),
            Column(
                "kind",
                "text",
                "`together`, `apart`, `block`, `unblock`, `release`, `erase`, `retract` or `rules`.",
            ),
            _ENTITY_TYPE,
            Column(
                "operation",
                "json",
                "Identifier keys in hexadecimal: `keys`; of an erasure `blocked`; of a retraction `source` "
                "and `event_id`.",
            ),
            Column("who", "text", "Who decided."),
            _maybe("why", "text", "Why; nothing where who it was about is erased."),
        ),
        ("topic", "log_partition", "log_offset"),
    ),
    Table(
        "nexus_rules",
        "log",
        "One row for each time that rules were brought into force by an operator event. Those that the store "
        "began with came by no topic, so they are not here but in the settings of whoever started it.",
        (
            Column("version", "text", "16 hexadecimal digits, the same for the same rules."),
            Column("log_position", "bytes", "Their place in the log order."),
            Column("ingested_at", "instant", "When they came in."),
            Column("rules", "json", "All of them."),
        ),
        ("version", "log_position"),
    ),
)


# what the resolution makes of it

_EVIDENCE: Final = (
    Column("source", "text", "The source of the event that says so."),
    Column("event_id", "text", "The event that says so."),
    Column("occurred_at", "instant", "When it happened."),
)


def _id(entity_type: EntityType) -> Column:
    return Column(f"{entity_type}_id", "text", f"The {entity_type}: made from its oldest identifier.")


def _edges(entity_type: EntityType) -> Table:
    ends = [
        Column(f"identifier_{part}_{end}", kind, f"The {part} of the {which} identifier.")
        for end, which in (("a", "first"), ("b", "second"))
        for part, kind in _PARTS
    ]
    return Table(
        f"nexus_{entity_type}_identifiers_edges",
        "resolved",
        f"One row for each edge between identifiers of {entity_type}s: a link is a star, of one fewer edges "
        "than it has identifiers.",
        (
            Column("edge_id", "text", "The `set_key` of the link, in hexadecimal."),
            *ends,
            *_EVIDENCE,
            Column("log_position", "bytes", "The oldest evidence of the link."),
        ),
        ("edge_id", "identifier_key_b"),
    )


_PARTS: Final[tuple[tuple[str, ColumnType], ...]] = (("type", "text"), ("value", "text"), ("key", "bytes"))


def _resolved_identifiers(entity_type: EntityType) -> Table:
    return Table(
        f"nexus_resolved_{entity_type}_identifiers",
        "resolved",
        f"One row for each identifier of {entity_type}s that is in the graph.",
        (
            _id(entity_type),
            *_IDENTIFIER,
            *_EVIDENCE,
            Column("log_position", "bytes", "How old it is: the lowest log position that names it."),
        ),
        ("identifier_key",),
        None,
        (f"{entity_type}_id",),
    )


def _resolved_traits(entity_type: EntityType) -> Table:
    return Table(
        f"nexus_resolved_{entity_type}_traits",
        "resolved",
        f"One row for each trait of a {entity_type}: the value that counts.",
        (
            _id(entity_type),
            Column("trait_name", "text", "The name of the trait."),
            Column("trait_value", "json", "Its value."),
            *_EVIDENCE,
        ),
        (f"{entity_type}_id", "trait_name"),
        None,
        (f"{entity_type}_id",),
    )


_PROCESSED: Final = Column("_processed_at", "instant", "When the tables were made.")
_LIFE: Final = (
    Column("traits", "json", "All traits, as one object."),
    Column("primary_source", "text", "The source of its oldest identifier."),
    _maybe(
        "first_interaction_at", "instant", "When its first event happened; nothing if none counts as its."
    ),
    _maybe("last_interaction_at", "instant", "When its last event happened."),
    Column("_created_at", "instant", "When the first event happened that named one of its identifiers."),
    Column("_updated_at", "instant", "When the last trait that counts was said, else `_created_at`."),
    _maybe("_last_merged_at", "instant", "When the last event happened that first named two of them as one."),
    _PROCESSED,
)


def _entities(entity_type: EntityType) -> Table:
    return Table(
        f"nexus_{entity_type}s",
        "final",
        f"One row for each {entity_type}. Beside these columns there is one of text for each trait and each "
        "type of identifier, under its name: see [warehouse.md](warehouse.md#columns-for-traits).",
        (_id(entity_type), *_LIFE),
        (f"{entity_type}_id",),
    )


def _participants(entity_type: EntityType) -> Table:
    return Table(
        f"nexus_{entity_type}_participants",
        "final",
        f"One row for each {entity_type} that takes part in an event, and its role there.",
        (
            Column(f"{entity_type}_participant_id", "text", "The row's own id."),
            Column("event_id", "text", "The event."),
            Column("source", "text", "The event's source."),
            _id(entity_type),
            _ROLE,
            Column("occurred_at", "instant", "When it happened."),
        ),
        (f"{entity_type}_participant_id",),
        "occurred_at",
        (f"{entity_type}_id", "event_id"),
    )


RESOLVED: Final[tuple[Table, ...]] = tuple(
    make(entity_type)
    for make in (_edges, _resolved_identifiers, _resolved_traits)
    for entity_type in ENTITY_TYPES
)

FINAL: Final[tuple[Table, ...]] = (
    *map(_entities, ENTITY_TYPES),
    Table(
        "nexus_memberships",
        "final",
        "One row for each person, group and role.",
        (
            Column("membership_id", "text", "The row's own id."),
            _id("person"),
            _id("group"),
            _ROLE,
            Column("source", "text", "The source of its earliest evidence."),
            Column("established_at", "instant", "Since when."),
            _maybe("ended_at", "instant", "Until when; nothing while it lasts."),
            Column("is_active", "bool", "Whether it lasts."),
            Column("_last_updated", "instant", "When the last event happened that speaks of it."),
            _PROCESSED,
        ),
        ("membership_id",),
        None,
        ("person_id", "group_id"),
    ),
    *map(_participants, ENTITY_TYPES),
    Table(
        "nexus_states",
        "final",
        "One row for each interval in which a state of an entity had one value.",
        (
            Column("state_id", "text", "The row's own id, with the prefix `st_`."),
            Column("entity_id", "text", "The entity."),
            _ENTITY_TYPE,
            Column("state_name", "text", "The name of the state."),
            _maybe("state_value", "text", "What it was, as text."),
            _maybe("state_numeric_value", "float", "What it was, as a number."),
            Column("state_category", "text", "`measurement` where it is a number, else `dimension`."),
            Column("state_entered_at", "instant", "Since when."),
            _maybe("state_exited_at", "instant", "Until when; nothing while it lasts."),
            Column("is_current", "bool", "Whether it lasts."),
            _maybe("trigger_event_id", "text", "The event that began it; nothing where time or a rule did."),
        ),
        ("state_id",),
        None,
        ("state_name", "entity_id"),
    ),
    Table(
        "nexus_entity_aliases",
        "final",
        "One row for each identifier that is not its entity's oldest: the id made from it answers with the "
        "entity.",
        (
            Column("alias_id", "text", "The id made from the identifier: the entity may have had it once."),
            Column("entity_id", "text", "The entity that holds the identifier now."),
            _ENTITY_TYPE,
            *_IDENTIFIER,
        ),
        ("alias_id",),
    ),
    Table(
        "nexus_quarantine",
        "final",
        "One row for each identifier that left the graph.",
        (
            _ENTITY_TYPE,
            *_IDENTIFIER,
            Column("reason", "text", "`limit`, `degree` or `blocked`."),
            _maybe("partner_type", "text", "Of a limit: of which type it was seen with too many partners."),
            _maybe("most", "int", "How many would have been allowed."),
            _maybe("log_position", "bytes", "The log position that brought the one too many."),
            _maybe("source", "text", "The source of that event."),
            _maybe("event_id", "text", "That event."),
        ),
        ("identifier_key",),
    ),
    Table(
        "nexus_suspended_links",
        "final",
        "One row for each link that unites nothing, since it would join what may not be one.",
        (
            Column("kind", "text", "Who says that they are one: `event`, `together` or `synonym`."),
            Column("identifier_keys", "json", "All identifiers of the link: their keys in hexadecimal."),
            Column("set_key", "bytes", "The keyed hash of the link."),
            Column("log_position", "bytes", "Its oldest evidence; empty for a synonym."),
            _maybe("unique_type", "text", "The unique type of which an entity would hold two values."),
            _maybe("apart", "json", "Or the two keys that an operator put apart."),
        ),
        ("kind", "set_key"),
    ),
)

VIEWS: Final[tuple[Table, ...]] = (
    Table(
        "nexus_entities",
        "view",
        "Persons and groups in one, as dbt-nexus 0.13 has them, with the columns for traits of both.",
        (Column("entity_id", "text", "The person or group."), _ENTITY_TYPE, *_LIFE),
        ("entity_id",),
    ),
    Table(
        "nexus_relationships",
        "view",
        "Memberships as relationships of a person (a) with a group (b).",
        (
            Column("relationship_id", "text", "The `membership_id`."),
            Column("entity_a_id", "text", "The person."),
            Column("entity_a_type", "text", "Always `person`."),
            _maybe("entity_a_role", "text", "The role of the person."),
            Column("entity_b_id", "text", "The group."),
            Column("entity_b_type", "text", "Always `group`."),
            _maybe("entity_b_role", "text", "Always nothing: groups have no role."),
            Column("relationship_type", "text", "Always `membership`."),
            Column("relationship_direction", "text", "Always `a_to_b`."),
            Column("is_active", "bool", "Whether it lasts."),
            Column("established_at", "instant", "Since when."),
            Column("last_updated_at", "instant", "When the last event happened that speaks of it."),
            Column("primary_source", "text", "The source of its earliest evidence."),
            Column("_created_at", "instant", "The same as `established_at`."),
            Column("_updated_at", "instant", "The same as `last_updated_at`."),
            _PROCESSED,
        ),
        ("relationship_id",),
    ),
    Table(
        "nexus_entity_participants",
        "view",
        "Persons and groups that take part in events.",
        (
            Column("entity_participant_id", "text", "The row's own id."),
            _ENTITY_TYPE,
            Column("event_id", "text", "The event."),
            Column("source", "text", "The event's source."),
            Column("entity_id", "text", "The person or group."),
            _ROLE,
            Column("occurred_at", "instant", "When it happened."),
        ),
        ("entity_participant_id",),
    ),
)

KEPT: Final[tuple[Table, ...]] = (
    Table(
        "nexus_reconciled",
        "kept",
        "One row for each partition of the input up to which the tables are made. Without rows the next run "
        "makes all of them anew.",
        (
            *_PLACE[:2],
            Column("next_offset", "int", "The first offset that is not in them."),
            Column("rules", "text", "The version of the rules."),
            Column("method", "text", "16 hexadecimal digits, the same for the same statements."),
            Column("now_ms", "int", "As of when timed states are, in milliseconds since 1970."),
        ),
        ("topic", "log_partition"),
    ),
    Table(
        "nexus_due_states",
        "kept",
        "One row for each entity of which a timed state may change if nothing more happens.",
        (
            Column("entity_id", "text", "The entity."),
            Column("due_ms", "int", "When, at the earliest, in milliseconds since 1970."),
        ),
        ("entity_id",),
    ),
)


@cache
def tables() -> Mapping[str, Table]:
    """Every table and view by its name."""
    return {table.name: table for table in (*LOG, *RESOLVED, *FINAL, *VIEWS, *KEPT)}


def page() -> Iterator[str]:
    """The lines of docs/tables.md: `python -m schemas.tables > docs/tables.md`."""
    yield from ("# Tables of the warehouse", "")
    yield from (_ABOUT, "")
    for layer, title in _TITLES.items():
        yield from (f"## {title}", "")
        for table in tables().values():
            if table.layer == layer:
                yield from _chapter(table)


_ABOUT: Final = """\
What each row is, column by column. [warehouse.md](warehouse.md) tells where they lie and how to ask them.
This page is made from `schemas/tables.py`: `python -m schemas.tables > docs/tables.md`.

Types: `text`; `bytes`; `int` (64 bits); `float` (double); `bool`; `instant`, a timestamp in UTC with
milliseconds; `json`, as text. Identifier keys and set keys are keyed hashes of 16 bytes: equal for equal
things, and nothing to guess values from.

The log is a set. One event may stand in it more than once: a producer sent it twice, or it came by two
topics. Count distinct events by `source` and `event_id`."""

_TITLES: Final[Mapping[Layer, str]] = {
    "log": "The event log",
    "resolved": "Resolved",
    "final": "Final",
    "view": "Views in the shape of dbt-nexus 0.13",
    "kept": "What `nexus reconcile` keeps for its next run",
}


def _chapter(table: Table) -> Iterator[str]:
    yield from (f"### {table.name}", "", table.doc, "")
    layout = f"Key: {_named(table.key)}."
    if table.partition_by is not None:
        layout += f" Divided by the month of `{table.partition_by}`."
    if table.cluster_by:
        layout += f" Rows lie together by {_named(table.cluster_by)}."
    yield from (layout, "", "| column | type | what it says |", "|---|---|---|")
    for column in table.columns:
        kind = column.type if column.is_required else f"{column.type} or nothing"
        yield f"| `{column.name}` | {kind} | {column.doc} |"
    yield ""


def _named(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in columns)


if __name__ == "__main__":
    print("\n".join(page()).rstrip())
