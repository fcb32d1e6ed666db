"""Targets of an Elasticsearch or OpenSearch datasource: the search they become and what its answer means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from tests.grafana.frames import Frame, Series, Table, table_of
from tests.grafana.variables import Window, fill
from tests.servers.server import IndexServer

OPENSEARCH: Final = "grafana-opensearch-datasource"
NAMES: Final = {"avg": "Average", "max": "Max", "min": "Min", "sum": "Sum", "count": "Count"}
RAW: Final = "raw_data"


def answers(
    server: IndexServer, pattern: str, target: Mapping[str, Any], values: Mapping[str, Sequence[str]], window: Window
) -> list[Frame]:
    """Returns the frames of one target of a datasource for the indices of `pattern`."""
    answer = server.ask(f"/{pattern}/_search", search(target, values, window))
    if _is_raw(target):
        return [table_of([_flat(hit["_source"]) | {"_id": hit["_id"]} for hit in answer["hits"]["hits"]])]
    return list(_frames(target, answer["aggregations"], target["bucketAggs"], {}))


def search(target: Mapping[str, Any], values: Mapping[str, Sequence[str]], window: Window) -> dict[str, Any]:
    """Returns the body of the search."""
    time_range = {"gte": round(window.start_s * 1000), "lte": round(window.end_s * 1000), "format": "epoch_millis"}
    filters: list[dict[str, Any]] = [{"range": {target["timeField"]: time_range}}]
    if lucene := fill(target["query"], values, window):
        filters.append({"query_string": {"analyze_wildcard": True, "query": lucene}})
    body: dict[str, Any] = {"size": 0, "query": {"bool": {"filter": filters}}}
    if _is_raw(target):
        size = int(target["metrics"][0]["settings"]["size"])
        order = [{target["timeField"]: {"order": "desc", "unmapped_type": "boolean"}}, {"_doc": {"order": "desc"}}]
        return body | {"size": size, "sort": order}
    return body | {"aggs": _aggregations(target, target["bucketAggs"], window)}


def terms(server: IndexServer, pattern: str, field: str, size: int) -> list[str]:
    """Returns what a variable of an index lists: the values of a field."""
    answer = server.ask(f"/{pattern}/_search", {"size": 0, "aggs": {"1": {"terms": {"field": field, "size": size}}}})
    return [bucket["key"] for bucket in answer["aggregations"]["1"]["buckets"]]


def _is_raw(target: Mapping[str, Any]) -> bool:
    return bool(target["metrics"][0]["type"] == RAW)


def _aggregations(target: Mapping[str, Any], buckets: Sequence[Mapping[str, Any]], window: Window) -> dict[str, Any]:
    if not buckets:
        return {
            metric["id"]: {metric["type"]: {"field": metric["field"]} | _metric_settings(metric)}
            for metric in target["metrics"]
            if metric["type"] != "count"
        }
    first, *rest = buckets
    opensearch = target["datasource"]["type"] == OPENSEARCH
    built = _histogram(first, window, opensearch=opensearch) if first["type"] == "date_histogram" else _terms(first)
    inner = _aggregations(target, rest, window)
    return {first["id"]: built | ({"aggs": inner} if inner else {})}


def _histogram(bucket: Mapping[str, Any], window: Window, *, opensearch: bool) -> dict[str, Any]:
    interval = bucket["settings"]["interval"]
    if interval == "auto":
        interval = f"{round(window.step_s * 1000)}ms"
    bounds = {"min": round(window.start_s * 1000), "max": round(window.end_s * 1000)}
    return {
        "date_histogram": {
            "field": bucket["field"],
            "interval" if opensearch else "fixed_interval": interval,
            "min_doc_count": int(bucket["settings"]["min_doc_count"]),
            "extended_bounds": bounds,
            "format": "epoch_millis",
        }
    }


def _terms(bucket: Mapping[str, Any]) -> dict[str, Any]:
    settings = bucket["settings"]
    order = {settings["orderBy"]: settings["order"]}
    return {
        "terms": {
            "field": bucket["field"],
            "size": int(settings["size"]),
            "order": order,
            "min_doc_count": int(settings["min_doc_count"]),
        }
    }


def _metric_settings(metric: Mapping[str, Any]) -> dict[str, Any]:
    settings = metric.get("settings") or {}
    return {"percents": [float(each) for each in settings["percents"]]} if "percents" in settings else {}


def _frames(
    target: Mapping[str, Any], found: Mapping[str, Any], buckets: Sequence[Mapping[str, Any]], labels: dict[str, str]
) -> Iterator[Frame]:
    bucket, *rest = buckets
    inside = found[bucket["id"]]["buckets"]
    if bucket["type"] == "date_histogram":
        yield from _series(target, inside, labels)
    elif rest:
        for each in inside:
            yield from _frames(target, each, rest, labels | {bucket["field"]: str(each["key"])})
    else:
        yield _table(target, bucket, inside)


def _series(
    target: Mapping[str, Any], buckets: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
) -> Iterator[Series]:
    metrics = target["metrics"]
    words = " ".join(value for _, value in sorted(labels.items()))
    columns = {column for metric in metrics for column in _column_names(metric)}
    kinds = {column.split()[0] for column in columns}
    for metric in metrics:
        for column in _column_names(metric):
            name = column if metric["type"] == "count" else f"{column} {metric['field']}"
            shown = name if not words else words if len(kinds) == 1 else f"{words} {name}"
            yield Series(shown, [(each["key"] / 1000, _value(metric, column, each)) for each in buckets])


def _table(target: Mapping[str, Any], bucket: Mapping[str, Any], buckets: Sequence[Mapping[str, Any]]) -> Table:
    columns: dict[str, list[Any]] = {bucket["field"]: [each["key"] for each in buckets]}
    for metric in target["metrics"]:
        alike = [other for other in target["metrics"] if other["type"] == metric["type"]]
        for column in _column_names(metric):
            named = metric["type"] == "percentiles" or (metric["type"] != "count" and len(alike) > 1)
            name = f"{column} {metric['field']}" if named else column
            columns[name] = [_value(metric, column, each) for each in buckets]
    return Table(columns)


def _column_names(metric: Mapping[str, Any]) -> list[str]:
    if metric["type"] == "percentiles":
        return [f"p{float(each):.1f}" for each in metric["settings"]["percents"]]
    return [NAMES[metric["type"]]]


def _value(metric: Mapping[str, Any], column: str, bucket: Mapping[str, Any]) -> float | None:
    if metric["type"] == "count":
        return float(bucket["doc_count"])
    answer = bucket[metric["id"]]
    value = answer["values"][column[1:]] if metric["type"] == "percentiles" else answer["value"]
    return None if value is None else float(value)


def _flat(source: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in source.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return found
