"""Simple pictures of frames, as SVG or HTML: near to what Grafana draws, and no more than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, Final

from tests.grafana.frames import Frame, Series, Table
from tests.grafana.units import shown
from tests.grafana.variables import Window

PALETTE: Final = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#F0E442", "#999999")
WIDTH: Final = 1000.0
STROKE: Final = 'stroke-width="2" vector-effect="non-scaling-stroke"'
ROWS_SHOWN: Final = 12

Area = list[tuple[float, float, float]]  # of each point its place, its lower and its upper end


class Look:
    """How a panel wants values shown."""

    def __init__(self, panel: Mapping[str, Any]) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        self.unit: str = defaults["unit"]
        self.custom: Mapping[str, Any] = defaults.get("custom") or {}
        self.options: Mapping[str, Any] = panel.get("options") or {}
        self.steps: Sequence[Mapping[str, Any]] = (defaults.get("thresholds") or {}).get("steps") or []
        self._mappings = defaults.get("mappings") or []
        self._of: dict[str, dict[str, Any]] = {
            override["matcher"]["options"]: {each["id"]: each["value"] for each in override["properties"]}
            for override in panel["fieldConfig"]["overrides"]
        }
        self.titles: Mapping[str, str] = {}
        for transformation in panel.get("transformations") or []:
            if places := transformation["options"].get("indexByName"):
                names = transformation["options"]["renameByName"]
                self.titles = {field: names[field] for field in sorted(places, key=places.__getitem__)}

    def colour(self, name: str, place: int) -> str:
        """Returns the colour of a series."""
        fixed = self._of.get(name, {}).get("color", {}).get("fixedColor")
        return str(fixed or PALETTE[place % len(PALETTE)])

    def name(self, field: str) -> str:
        """Returns the heading of a field."""
        return str(self._of.get(field, {}).get("displayName", field))

    def mapped(self, value: object, title: str = "") -> tuple[str, str] | None:
        """Returns text and colour of a value that has its own."""
        for mapping in [*self._of.get(title, {}).get("mappings", []), *self._mappings]:
            key = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
            if mapping["type"] == "value" and (found := mapping["options"].get(key)):
                return found.get("text", key), found.get("color", "")
        return None

    def text(self, value: object, title: str = "") -> str:
        """Returns a value as people read it."""
        if found := self.mapped(value, title):
            return found[0]
        return shown(value, self._of.get(title, {}).get("unit", self.unit))

    def step_colour(self, value: float) -> str:
        """Returns the colour of the threshold that a value has reached."""
        reached = [step["color"] for step in self.steps if step["value"] is None or value >= step["value"]]
        return str(reached[-1]) if reached else PALETTE[0]


def draw(panel: Mapping[str, Any], frames: Sequence[Frame], window: Window) -> str:
    """Returns the picture of a panel."""
    look = Look(panel)
    height = 30.0 * panel["gridPos"]["h"] - 60.0
    kinds: Mapping[str, Callable[[], str]] = {
        "stat": lambda: tiles(look, frames),
        "timeseries": lambda: chart(look, series_of(frames), window, height),
        "state-timeline": lambda: bands(look, series_of(frames), window, look.mapped),
        "status-history": lambda: bands(look, series_of(frames), window, heat_of),
        "table": lambda: table(look, frames),
    }
    return kinds[panel["type"]]()


def series_of(frames: Sequence[Frame]) -> list[Series]:
    """Returns the series that have a value."""
    return [frame for frame in frames if isinstance(frame, Series) and not frame.empty]


def tiles(look: Look, frames: Sequence[Frame]) -> str:
    """Returns one coloured tile for each value of a stat."""
    reduce = look.options["reduceOptions"]
    found: list[tuple[str, float]] = []
    for frame in frames:
        if isinstance(frame, Series):
            values = [value for _, value in frame.points if value is not None]
            if values:
                found.append((frame.name, sum(values) if reduce["calcs"] == ["sum"] else values[-1]))
            continue
        numbers = {
            name: cells for name, cells in frame.columns.items() if all(isinstance(cell, float) for cell in cells)
        }
        words = [cells for name, cells in frame.columns.items() if name not in numbers]
        for name, cells in numbers.items():
            for row, cell in enumerate(cells):
                found.append((" ".join([*(str(each[row]) for each in words), look.name(name)]), cell))
    return (
        '<div class="tiles">'
        + "".join(_tile(look, name, value, place) for place, (name, value) in enumerate(found))
        + "</div>"
    )


def _tile(look: Look, name: str, value: float, place: int) -> str:
    mapped = look.mapped(value)
    fixed = look.colour(name, place) if look.options.get("textMode") == "value_and_name" else ""
    colour = (mapped[1] if mapped else "") or fixed or look.step_colour(value)
    words = f"<b>{escape(look.text(value))}</b><span>{escape(name)}</span>"
    return f'<div class="tile" style="background:{colour}">{words}</div>'


def chart(look: Look, series: Sequence[Series], window: Window, height: float) -> str:
    """Returns lines, bars or stacked areas over time, with a legend."""
    stacked = (look.custom.get("stacking") or {}).get("mode") == "normal"
    shapes = [(line.name, look.colour(line.name, number)) for number, line in enumerate(series)]
    areas = _stacked(series) if stacked else [[(at, 0.0, value) for at, value in _known(line)] for line in series]
    top = max((high for area in areas for _, _, high in area), default=0.0) or 1.0
    span = max(1.0, window.end_s - window.start_s)

    def on_page(area: Area) -> Area:
        scale = (height - 6.0) / top
        return [
            (max(0.0, at - window.start_s) / span * WIDTH, height - low * scale, height - high * scale)
            for at, low, high in area
        ]

    pen = _bars if look.custom.get("drawStyle") == "bars" else _area if stacked else _line
    drawn = "".join(pen(on_page(area), colour) for area, (_, colour) in zip(areas, shapes, strict=True) if area)
    names = "".join(f'<i style="background:{colour}"></i>{escape(name)} ' for name, colour in shapes[:ROWS_SHOWN])
    more = f" and {len(shapes) - ROWS_SHOWN} more" if len(shapes) > ROWS_SHOWN else ""
    return (
        f'<div class="top">{escape(look.text(top))}</div>'
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" preserveAspectRatio="none">{drawn}</svg>'
        f'<div class="legend">{names}{more}</div>'
    )


def _known(line: Series) -> list[tuple[float, float]]:
    return [(at, value) for at, value in line.points if value is not None]


def _stacked(series: Sequence[Series]) -> list[Area]:
    floor: dict[float, float] = {}
    areas: list[Area] = []
    for line in series:
        areas.append([(at, floor.get(at, 0.0), floor.get(at, 0.0) + value) for at, value in _known(line)])
        floor |= {at: high for at, _, high in areas[-1]}
    return areas


def _bars(area: Area, colour: str) -> str:
    width = max(2.0, WIDTH / max(20, len(area)) * 0.8)
    return "".join(
        f'<rect x="{x:.1f}" y="{high:.1f}" width="{width:.1f}" height="{max(0.0, low - high):.1f}" fill="{colour}"/>'
        for x, low, high in area
    )


def _area(area: Area, colour: str) -> str:
    upper = " ".join(f"{x:.1f},{high:.1f}" for x, _, high in area)
    lower = " ".join(f"{x:.1f},{low:.1f}" for x, low, _ in reversed(area))
    return f'<polygon points="{upper} {lower}" fill="{colour}" fill-opacity="0.75"/>'


def _line(area: Area, colour: str) -> str:
    points = " ".join(f"{x:.1f},{high:.1f}" for x, _, high in area)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" {STROKE}/>'


def bands(
    look: Look, series: Sequence[Series], window: Window, colour_of: Callable[[object], tuple[str, str] | None]
) -> str:
    """Returns a band of coloured cells for each series, and the words of the colours."""
    rows, legend = [], {}
    span = max(1.0, window.end_s - window.start_s)
    for line in series[: 2 * ROWS_SHOWN]:
        cells = []
        for at, value in line.points:
            if value is not None and (mapped := colour_of(value)):
                legend[mapped[0]] = mapped[1]
                left, width = (at - window.start_s) / span, window.step_s / span + 0.001
                cells.append(f'<u style="left:{left:.2%};width:{width:.2%};background:{mapped[1]}"></u>')
        rows.append(f'<div class="band"><span>{escape(line.name)}</span><div>{"".join(cells)}</div></div>')
    more = f"<p>and {len(series) - 2 * ROWS_SHOWN} more</p>" if len(series) > 2 * ROWS_SHOWN else ""
    words = "".join(f'<i style="background:{colour}"></i>{escape(text)} ' for text, colour in sorted(legend.items()))
    return "".join(rows) + more + f'<div class="legend">{words}</div>'


def heat_of(value: object) -> tuple[str, str]:
    """Returns the colour of a share: from blue over yellow to red."""
    share = min(1.0, max(0.0, float(str(value))))
    low, high, part = (
        ((31, 96, 196), (250, 222, 42), share * 2) if share < 0.5 else ((250, 222, 42), (196, 22, 42), share * 2 - 1)
    )
    mixed = [round(a + (b - a) * part) for a, b in zip(low, high, strict=True)]
    return f"{round(share * 4) * 25} %", "#{:02x}{:02x}{:02x}".format(*mixed)


def table(look: Look, frames: Sequence[Frame]) -> str:
    """Returns the first rows of a table under its headings."""
    frame = next((frame for frame in frames if isinstance(frame, Table)), Table({}))
    columns = {title: frame.columns[field] for field, title in look.titles.items() if field in frame.columns}
    rows = len(next(iter(columns.values()), []))
    head = "".join(f"<th>{escape(title)}</th>" for title in columns)
    body = "".join(
        "<tr>" + "".join(_cell(look, title, cells[row]) for title, cells in columns.items()) + "</tr>"
        for row in range(min(rows, ROWS_SHOWN))
    )
    more = f"<p>{rows} rows</p>" if rows > ROWS_SHOWN else ""
    return f"<table><tr>{head}</tr>{body}</table>{more}"


def _cell(look: Look, title: str, value: object) -> str:
    mapped = look.mapped(value, title)
    style = f' style="color:{mapped[1]}"' if mapped and mapped[1] else ""
    return f"<td{style}>{escape('' if value is None else look.text(value, title))}</td>"
