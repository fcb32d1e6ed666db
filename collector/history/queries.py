"""What an index server is asked for a wish. Pure.

A query may find too much, never too little: `collector.history.questions` picks from what came, so that log and index
give the same answer. A `[...]` of a pattern is any letter to the server, times are asked for to the millisecond that
an index keeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from collector.history.questions import Wish
from contract.modes import Mode
from contract.times import iso

Query = dict[str, Any]
Place = tuple[Any, ...]  # what the server sorts by, of one document

PAGE: Final = 10_000  # index.max_result_window, unless a site has changed it
MARGIN: Final = 200  # more than a limit, for what the server finds and a wish doesn't want

BRACKET: Final = re.compile(r"\[!?+\]?+[^\]]*+\]")  # as fnmatch takes it: one letter; a `[` without end is itself

PASSING: Final = (Mode.ACTIVATING_CLOUD, Mode.DEACTIVATING_CLOUD)


def switchover_query(wish: Wish) -> Query:
    """Returns what the switchovers that are wished for have in common."""
    filters = [
        *_range(wish),
        *_any_of("host", wish.nodes),
        *_any_of("appliance", wish.appliances),
        *_any_of("who", (wish.who,)),
    ]
    if wish.outcomes:
        filters.append({"terms": {"outcome": list(wish.outcomes)}})
    if wish.slowest:
        filters.append({"exists": {"field": order_field(wish)}})
    return {"bool": {"filter": filters}}


def stuck_query(wish: Wish) -> Query:
    """Returns what the nodes that may be stuck have in common: they say so, or they are on their way."""
    may_be = [{"term": {"stuck": True}}, {"terms": {"mode": [mode.value for mode in PASSING]}}]
    filters = [
        {"bool": {"should": may_be, "minimum_should_match": 1}},
        *_any_of("host", wish.nodes),
        *_any_of("appliance", wish.appliances),
    ]
    return {"bool": {"filter": filters}}


def order_field(wish: Wish) -> str:
    """Returns the field by which the server sorts."""
    if not wish.slowest:
        return "started"
    return f"phases.{wish.phase}" if wish.phase else "duration_s"


def page(query: Query, field: str, *, size: int, after: Place = ()) -> Query:
    """Returns a search for `size` documents, those with the most in `field` first, from the place `after` on."""
    kind = "date" if field == "started" else "float"
    keys = [
        {field: {"order": "desc", "unmapped_type": kind}},
        {"host": {"order": "asc", "unmapped_type": "keyword"}},
        {"switch_id": {"order": "asc", "unmapped_type": "keyword"}},
    ]
    body: Query = {
        "size": size,
        "track_total_hits": False,
        "query": query,
        "sort": keys[: len(after) or 1],
    }
    return body | ({"search_after": list(after)} if after else {})


def next_place(sorts: Sequence[Place]) -> Place:
    """Returns the place from which to go on after a page of documents in those places.

    Sorting by one field alone takes a server half the time. Of documents that are equal in it some may have come and
    others not, so one goes back to before them, and some come twice. Host and id make a total order, which is asked for
    when a whole page is equal.
    """
    last = sorts[-1]
    if len(last) > 1:
        return last
    before = next((place for place in reversed(sorts) if place != last), None)
    return before if before is not None else (*last, "", "")


def page_size(wish: Wish) -> int:
    """Returns how many documents to ask for at first; whoever needs more takes PAGE."""
    return min(PAGE, wish.at_most + MARGIN) if wish.at_most else PAGE


def settled(ranks: Sequence[float], last: float, wish: Wish) -> bool:
    """Returns whether what the server has not sent yet, which comes after `last`, can't be among those wished for.

    `ranks` are of what is wanted so far. A server sorts by milliseconds and by floats of 32 bits.
    """
    if not wish.at_most or len(ranks) < wish.at_most:
        return False
    least = sorted(ranks, reverse=True)[wish.at_most - 1]
    return last < least - (1e-6 * abs(least) if wish.slowest else 0.002)


def _range(wish: Wish) -> list[Query]:
    bounds = {}
    if math.isfinite(wish.since_s):
        bounds["gte"] = iso(math.floor(wish.since_s * 1000) / 1000)
    if math.isfinite(wish.until_s):
        bounds["lt"] = iso(math.floor(wish.until_s * 1000) / 1000 + 0.001)
    return [{"range": {"started": bounds}}] if bounds else []


def _any_of(field: str, patterns: Sequence[str]) -> list[Query]:
    """Returns a filter for names that fit one of `patterns`, none if the server can't tell."""
    if not patterns or not all(pattern.strip("*") for pattern in patterns):
        return []
    should = [_like(field, BRACKET.sub("?", pattern)) for pattern in patterns]
    return [{"bool": {"should": should, "minimum_should_match": 1}}]


def _like(field: str, pattern: str) -> Query:
    if not {"*", "?"} & set(pattern):
        return {"term": {field: pattern}}
    # A backslash is a letter to us and an escape to the server.
    return {"wildcard": {field: {"value": pattern.replace("\\", "\\\\")}}}
