"""The kinds of panels that the dashboards use, each with one look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from grafana_foundation_sdk.builders import common as build
from grafana_foundation_sdk.builders import dashboard as build_dashboard
from grafana_foundation_sdk.builders import stat as build_stat
from grafana_foundation_sdk.builders import statetimeline, statushistory, timeseries
from grafana_foundation_sdk.builders import table as build_table
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMapping,
)

from dashboards.boards.looks import BLUE, fixed

COUNT: Final = "none"
SECONDS: Final = "s"
SHARE: Final = "percentunit"
CORES: Final = "suffix: cores"
CORE_HOURS: Final = "suffix: core h"
HOURS: Final = "h"
PER_SECOND: Final = "suffix: docs/s"
BYTES: Final = "bytes"

Steps = Sequence[tuple[float | None, str]]


class Column(NamedTuple):
    """A column of a table: the field it shows, its heading, unit, link and colours of its values."""

    field: str
    title: str
    unit: str = ""
    link: str = ""
    mappings: Sequence[ValueMapping] = ()


def stat(
    targets: Iterable[Dataquery],
    unit: str,
    *,
    colours: Mapping[str, str] | None = None,
    steps: Steps = ((None, BLUE),),
    mappings: Sequence[ValueMapping] = (),
    sums: bool = False,
    of_rows: Mapping[str, str] | None = None,
) -> Panel:
    """Returns one great number for each series; `steps` colour it by value, `colours` by the series' name.

    It is the newest, or with `sums` that of all points. With `of_rows` there is a number for each row of a table and
    each of its columns, under the names that are given here.
    """
    panel = (
        build_stat.Panel()
        .unit(unit)
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.BACKGROUND_SOLID)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if colours else BigValueTextMode.AUTO)
        .reduce_options(build.ReduceDataOptions().calcs(["sum" if sums else "lastNotNull"]).values(of_rows is not None))
        .thresholds(_thresholds(steps))
        .color_scheme(build_dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .mappings(list(mappings))
    )
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, fixed(colour))
    for field, name in (of_rows or {}).items():
        panel.override_by_name(field, [DynamicConfigValue(id_val="displayName", value=name)])
    return _with(panel.build(), targets)


def lines(
    targets: Iterable[Dataquery],
    unit: str,
    *,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    bars: bool = False,
    least: float | None = 0.0,
    most: float | None = None,
) -> Panel:
    """Returns a chart over time: lines, areas on top of each other when `stacked`, or `bars`."""
    panel = (
        timeseries.Panel()
        .unit(unit)
        .line_width(1)
        .fill_opacity(70 if stacked or bars else 0)
        .show_points(VisibilityMode.NEVER if stacked and not bars else VisibilityMode.AUTO)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .legend(
            build.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .color_scheme(build_dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    if stacked:
        panel.stacking(build.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, fixed(colour))
    return _with(panel.build(), targets)


def timeline(targets: Iterable[Dataquery], mappings: Sequence[ValueMapping], *, unit: str = COUNT) -> Panel:
    """Returns a band for each series whose colour is its state."""
    panel = (
        statetimeline.Panel()
        .unit(unit)
        .mappings(list(mappings))
        .merge_values(True)
        .per_page(50)
        .line_width(0)
        .fill_opacity(80)
        .show_value(VisibilityMode.AUTO)
        .color_scheme(build_dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(((None, BLUE),)))
    )
    return _with(panel.build(), targets)


def heat(targets: Iterable[Dataquery], unit: str) -> Panel:
    """Returns a row of cells for each series, from blue (0) to red (1)."""
    panel = (
        statushistory.Panel()
        .unit(unit)
        .min(0)
        .max(1)
        .line_width(0)
        .fill_opacity(90)
        .show_value(VisibilityMode.NEVER)
        .max_data_points(100)
        .per_page(100)
        .color_scheme(build_dashboard.FieldColor().mode(FieldColorModeId.CONTINUOUS_BL_YL_RD))
    )
    return _with(panel.build(), targets)


def table(
    targets: Iterable[Dataquery],
    columns: Sequence[Column],
    *,
    transform: Sequence[DataTransformerConfig] = (),
    unit: str = COUNT,
) -> Panel:
    """Returns a table of `columns` alone, in their order."""
    panel = build_table.Panel().unit(unit).filterable(True).show_header(True)
    for each in transform:
        panel.with_transformation(each)
    panel.with_transformation(
        DataTransformerConfig(
            id_val="filterFieldsByName", options={"include": {"names": [column.field for column in columns]}}
        )
    )
    panel.with_transformation(
        DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {column.field: place for place, column in enumerate(columns)},
                "renameByName": {column.field: column.title for column in columns},
            },
        )
    )
    for column in columns:
        if properties := _properties(column):
            panel.override_by_name(column.title, properties)
    return _with(panel.build(), targets)


def shifted(panel: Panel, *, span: str = "", shift: str = "") -> Panel:
    """Returns the panel looking at the last `span`, or at the chosen time, `shift` earlier."""
    panel.time_from = span or None
    panel.time_shift = shift or None
    return panel


def at_least(panel: Panel, interval: str) -> Panel:
    """Returns the panel with points no closer than `interval`."""
    panel.interval = interval
    return panel


def as_number(field: str) -> DataTransformerConfig:
    """Returns the transformation that makes a label's text a number."""
    conversion = {"targetField": field, "destinationType": "number"}
    return DataTransformerConfig(id_val="convertFieldType", options={"conversions": [conversion]})


def _properties(column: Column) -> list[DynamicConfigValue]:
    found = []
    if column.unit:
        found.append(DynamicConfigValue(id_val="unit", value=column.unit))
    if column.link:
        link = {"title": "show", "url": column.link}
        found.append(DynamicConfigValue(id_val="links", value=[link]))
    if column.mappings:
        found += [
            DynamicConfigValue(id_val="mappings", value=list(column.mappings)),
            DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
        ]
    return found


def _thresholds(steps: Steps) -> build_dashboard.ThresholdsConfig:
    return (
        build_dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )


def _with(panel: Panel, targets: Iterable[Dataquery]) -> Panel:
    """Returns the panel with its queries; they ask one datasource, which becomes the panel's."""
    panel.targets = list(targets)
    panel.datasource = getattr(panel.targets[0], "datasource", None)
    return panel
