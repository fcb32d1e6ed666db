"""What an index server must know before the first document comes: templates and lifecycle of the fields. Pure.

An index is named from the time of its documents (`collector.index.names`), so that a document that is sent twice goes
to the same index and is kept once. Data streams, rollover and their lifecycle therefore don't fit; whole indices are
deleted when they are old, by ILM on Elasticsearch and by ISM on OpenSearch.
"""

from __future__ import annotations

from typing import Final

import msgspec

from collector.documents import BOX, SWITCHOVER
from collector.index.fields import ALL_KINDS, FIELDS, Field, Type
from collector.index.parts import Json, Part, PartKind, signed
from contract.index_names import CURRENT, OWNER
from contract.sink import Product

# Raised whenever a template changes: a server with a lower one is brought up to date, one with a higher one left alone.
VERSION: Final = 1

# Above whatever a site or product has for all indices; Elastic's own stay below 300.
PRIORITY: Final = 500

# Lucene takes no keyword above 32,766 bytes; one of 8191 characters may have as many.
LONGEST_KEYWORD: Final = 1024


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a site may want otherwise: copies of the data, and days until an index is deleted."""

    shards: int = 1
    replicas: int = 1
    box_days: int = 90
    switchover_days: int = 3650

    def keep_days(self, kind: str) -> int | None:
        """Returns after how many days an index of `kind` is deleted; None is never."""
        return {BOX: self.box_days, SWITCHOVER: self.switchover_days}.get(kind)


DEFAULT_SHAPE: Final = Shape()

MEANINGS: Final = {
    BOX: "what each node looked like every few seconds",
    SWITCHOVER: "each switch between HLT and cloud as a whole",
    CURRENT: "what each node looks like now",
}

# An unknown field of a box is kept, and found by nobody; a switchover that does not fit is worth a refusal.
DYNAMIC: Final[dict[str, bool | str]] = {BOX: False, SWITCHOVER: "strict", CURRENT: False}

# A panel is drawn anew every five seconds; the table of now may be younger.
REFRESH: Final = {BOX: "5s", SWITCHOVER: "5s", CURRENT: "1s"}


def template_name(kind: str) -> str:
    """Returns the name of the index template of `kind`, and of its policy."""
    return f"{OWNER}-{kind}"


def pattern(kind: str) -> str:
    """Returns the pattern of the names of indices of `kind`."""
    return f"{OWNER}-{kind}-*"


def parts(product: Product, shape: Shape = DEFAULT_SHAPE, *, lifecycle: bool = True) -> tuple[Part, ...]:
    """Returns all parts in the order in which a server takes them.

    Without `lifecycle` there are no policies, and no template names one: a server without them refuses the name.
    """
    made: list[Part] = []
    if lifecycle:
        made += [policy(product, kind, days) for kind in ALL_KINDS if (days := shape.keep_days(kind)) is not None]
    for kind in ALL_KINDS:
        body = {"settings": settings(kind, shape) | (lifecycle_settings(product, kind, shape) if lifecycle else {})}
        made.append(_component(f"{template_name(kind)}-settings", body))
        made.append(_component(f"{template_name(kind)}-mappings", {"mappings": mappings(kind)}))
    for kind in ALL_KINDS:
        name = template_name(kind)
        template = {
            "index_patterns": [pattern(kind)],
            "priority": PRIORITY,
            "version": VERSION,
            "composed_of": [f"{name}-settings", f"{name}-mappings"],
        }
        made.append(signed(PartKind.TEMPLATE, name, template, VERSION))
    return tuple(made)


def _component(name: str, template: Json) -> Part:
    return signed(PartKind.COMPONENT, name, {"version": VERSION, "template": template}, VERSION)


def settings(kind: str, shape: Shape) -> Json:
    """Returns the settings of an index of `kind`, the same for both products."""
    always = {
        "index.number_of_shards": shape.shards,
        "index.number_of_replicas": shape.replicas,
        "index.codec": "best_compression",
        "index.refresh_interval": REFRESH[kind],
        "index.mapping.total_fields.limit": 200,
    }
    if kind == SWITCHOVER:
        return always
    # A number or date that makes no sense costs the field, not the document.
    lenient = always | {"index.mapping.ignore_malformed": True}
    # Documents of one node side by side: they compress better by a fifth, and its curves are read from one place.
    return lenient | ({"index.sort.field": ["host", "@timestamp"]} if kind == BOX else {})


def mappings(kind: str) -> Json:
    """Returns the mapping of an index of `kind`, the same for both products."""
    return {
        "dynamic": DYNAMIC[kind],
        "date_detection": False,
        "_meta": {"owner": OWNER, "version": VERSION},
        "properties": {field.name: _mapped(field) for field in FIELDS[kind]},
    }


def _mapped(field: Field) -> Json:
    if field.parts:
        return {"type": field.type.value, "properties": {part.name: _mapped(part) for part in field.parts}}
    mapped: Json = {"type": field.type.value}
    if field.type is Type.TEXT:
        mapped["fields"] = {"keyword": {"type": Type.KEYWORD.value, "ignore_above": LONGEST_KEYWORD}}
    if field.type is Type.KEYWORD:
        mapped["ignore_above"] = LONGEST_KEYWORD
    if not field.searched:
        mapped["index"] = False
    return mapped


# From here on what differs between the products: the form of a policy, and how an index comes under it.


def policy(product: Product, kind: str, days: int) -> Part:
    """Returns what deletes an index of `kind` when it is `days` old.

    Nothing is made read-only or merged before (ILM's merge makes it so): a node that comes back after weeks still has
    documents for old indices.
    """
    name = template_name(kind)
    if product is Product.ELASTICSEARCH:
        phases = {
            "hot": {"min_age": "0ms", "actions": {}},
            "delete": {"min_age": f"{days}d", "actions": {"delete": {"delete_searchable_snapshot": True}}},
        }
        return signed(PartKind.ILM, name, {"policy": {"phases": phases}}, VERSION)
    body = {
        "description": f"Deletes after {days} days: {MEANINGS[kind]}",
        "default_state": "kept",
        "states": [
            {
                "name": "kept",
                "actions": [],
                "transitions": [{"state_name": "deleted", "conditions": {"min_index_age": f"{days}d"}}],
            },
            {"name": "deleted", "actions": [{"delete": {}}], "transitions": []},
        ],
        "ism_template": [{"index_patterns": [pattern(kind)], "priority": PRIORITY}],
    }
    return signed(PartKind.ISM, name, {"policy": body}, VERSION)


def lifecycle_settings(product: Product, kind: str, shape: Shape) -> Json:
    """Returns the settings that put an index under its policy; with ISM the policy itself names its indices."""
    if product is Product.ELASTICSEARCH and shape.keep_days(kind) is not None:
        return {"index.lifecycle.name": template_name(kind)}
    return {}
