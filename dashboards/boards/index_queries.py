"""Queries to the index: described once, written for either plugin.

Only aggregations that Elasticsearch and OpenSearch both have in every distribution are used: no top_metrics, no rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from grafana_foundation_sdk.builders import elasticsearch as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import elasticsearch as model

from dashboards.boards.datasources import Flavour

TIME_FIELD: Final = "@timestamp"
BOXES: Final = "_index:hltmode-box-*"
SWITCHOVERS: Final = "_index:hltmode-switchover-*"

# What Grafana calls the columns of `percentiles("duration_s")`, and what people do.
PERCENTILES: Final = {"p50.0 duration_s": "median", "p95.0 duration_s": "slowest in twenty"}

Metric = Builder[model.MetricAggregation]
Bucket = Builder[model.BucketAggregation]


class OpenSearchQuery(model.Dataquery):
    """A query as the OpenSearch plugin stores it: the same, and which of its query languages it is in."""

    def to_json(self) -> dict[str, object]:
        """Returns the JSON object."""
        raw = any(metric.type_val == model.MetricAggregationType.RAW_DATA for metric in self.metrics or [])
        words = {"queryType": "lucene", "luceneQueryType": "RawData" if raw else "Metric", "format": "table"}
        return super().to_json() | words


def ask(
    flavour: Flavour,
    lucene: str,
    metrics: Sequence[Metric],
    buckets: Sequence[Bucket] = (),
    *,
    ref: str = "A",
    alias: str = "",
) -> model.Dataquery:
    """Returns a query for `metrics` of the documents that `lucene` finds, in `buckets` from the outside in."""
    kind = OpenSearchQuery if flavour is Flavour.OPENSEARCH else model.Dataquery
    return kind(
        query=lucene,
        time_field=TIME_FIELD,
        metrics=[metric.build() for metric in metrics],
        bucket_aggs=[bucket.build() for bucket in buckets],
        ref_id=ref,
        alias=alias or None,
        datasource=flavour.ref,
    )


def count() -> Metric:
    """Returns how many documents."""
    return build.Count().id("1")


def average(field: str, number: int = 1) -> Metric:
    """Returns the mean of a field; the number tells metrics of one query apart."""
    return build.Average().field(field).id(str(number))


def total(field: str, number: int = 1) -> Metric:
    """Returns the sum of a field."""
    return build.Sum().field(field).id(str(number))


def most(field: str, number: int = 1) -> Metric:
    """Returns the greatest value of a field."""
    return build.Max().field(field).id(str(number))


def percentiles(field: str, number: int = 1) -> Metric:
    """Returns median and 95th percentile of a field."""
    settings = build.ElasticsearchPercentilesSettings().percents(["50", "95"])
    return build.Percentiles().field(field).id(str(number)).settings(settings)


def documents(most: int) -> Metric:
    """Returns the newest documents themselves."""
    return build.RawData().id("1").settings(build.ElasticsearchRawDataSettings().size(str(most)))


def over_time(interval: str = "auto") -> Bucket:
    """Returns a bucket for each stretch of time; it stands last."""
    settings = build.ElasticsearchDateHistogramSettings().interval(interval).min_doc_count("0")
    return build.DateHistogram().field(TIME_FIELD).id("9").settings(settings)


def by(field: str, most: int = 20, order_by: str = "_count", number: int = 2) -> Bucket:
    """Returns a bucket for each value of `field`, the `most` with the greatest `order_by` (a metric's number)."""
    settings = (
        build.ElasticsearchTermsSettings().size(str(most)).order(model.TermsOrder.DESC).order_by(order_by)
        .min_doc_count("1")
    )  # fmt: skip
    return build.Terms().field(field).id(str(number)).settings(settings)


def of_hosts(index: str, *more: str) -> str:
    """Returns the Lucene query for documents of the chosen appliances and hosts."""
    return " AND ".join((index, "appliance:/${appliance:regex}/", "host:/${host:regex}/", *more))
