"""A dashboard in the making: rows of panels that fill the grid, ids that stay, variables and links."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardDashboardTemplating,
    DashboardLink,
    DashboardLinkType,
    DataSourceRef,
    GridPos,
    Panel,
    RowPanel,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from contract.metric_names import MODE
from dashboards.boards.datasources import INDEX_VARIABLE, PROMETHEUS, PROMETHEUS_VARIABLE, Flavour
from dashboards.names import RUNBOOKS, TAG, Uid

COLUMNS: Final = 24
ROW_HEIGHT: Final = 1
IDS_OF_A_ROW: Final = 100  # a panel keeps its id while others join its row


class Board:
    """One dashboard; `row` by row it is filled from the top."""

    def __init__(
        self, uid: Uid, title: str, description: str, *variables: VariableModel, span: str, refresh: str = "15s"
    ) -> None:
        self._builder = (
            build.Dashboard(f"hltmode / {title}")
            .uid(uid.value)
            .description(description)
            .tags([TAG])
            .readonly()
            .time(f"now-{span}", "now")
            .refresh(refresh)
            .timezone("utc")
            .tooltip(DashboardCursorSync.CROSSHAIR)
            .links([_others(), _runbooks()])
        )
        self._variables = variables
        self._panels: list[Panel | RowPanel] = []
        self._rows = 0
        self._y = 0

    def row(self, title: str, height: int, *panels: tuple[int, str, str, Panel], runbook: str = "") -> None:
        """Adds a row: of each panel its width in columns, its title, its description, and what it shows.

        `runbook` is the alert whose runbook the panels link to. Raises ValueError when the widths don't fill the row.
        """
        if sum(width for width, *_ in panels) != COLUMNS:
            raise ValueError(f"{title}: the widths of the panels must add up to {COLUMNS}")
        self._rows += 1
        first = self._rows * IDS_OF_A_ROW
        grid = GridPos(h=ROW_HEIGHT, w=COLUMNS, x=0, y=self._y)
        self._panels.append(RowPanel(title=title, id_val=first, grid_pos=grid, collapsed=False, panels=[]))
        self._y += ROW_HEIGHT
        x = 0
        for place, (width, name, description, panel) in enumerate(panels, 1):
            panel.id_val = first + place
            panel.title = name
            panel.description = description
            panel.grid_pos = GridPos(h=height, w=width, x=x, y=self._y)
            if runbook:
                panel.links = [_link("Runbook", f"{RUNBOOKS}#{runbook.lower()}")]
            self._panels.append(panel)
            x += width
        self._y += height

    def build(self) -> Dashboard:
        """Returns the dashboard."""
        built = self._builder.build()
        built.panels = self._panels
        built.templating = DashboardDashboardTemplating(list_val=list(self._variables))
        return built


def datasource(name: str, kind: str, label: str) -> VariableModel:
    """Returns the variable by which a site chooses one of its datasources."""
    return build.DatasourceVariable(name).type(kind).label(label).build()


def prometheus() -> VariableModel:
    """Returns the variable of the Prometheus."""
    return datasource(PROMETHEUS_VARIABLE, "prometheus", "Prometheus")


def index(flavour: Flavour) -> VariableModel:
    """Returns the variable of the index."""
    return datasource(INDEX_VARIABLE, flavour.value, "Index")


def appliances() -> VariableModel:
    """Returns the variable of the appliances that Prometheus knows."""
    return _any("appliance", "Appliance", f"label_values({MODE}, appliance)", PROMETHEUS)


def hosts() -> VariableModel:
    """Returns the variable of the chosen appliances' nodes: one or a few, for 1500 bands tell nobody anything."""
    query = f'label_values({MODE}{{appliance=~"$appliance"}}, host)'
    return _query("host", "Node", query, PROMETHEUS).multi(True).build()


def indexed(name: str, label: str, flavour: Flavour) -> VariableModel:
    """Returns a variable of the values that the index has of a field."""
    query = f'{{"find": "terms", "field": "{name}", "size": 2000}}'
    return _any(name, label, query, flavour.ref)


def choice(name: str, label: str, *values: str) -> VariableModel:
    """Returns a variable with fixed values, the first of which is chosen."""
    options = [VariableOption(text=value, value=value, selected=value == values[0]) for value in values]
    current = VariableOption(text=values[0], value=values[0], selected=True)
    return build.CustomVariable(name).label(label).values(",".join(values)).options(options).current(current).build()


def _any(name: str, label: str, query: str, source: DataSourceRef) -> VariableModel:
    everything = VariableOption(text="All", value="$__all", selected=True)
    return _query(name, label, query, source).multi(True).include_all(True).all_value(".+").current(everything).build()


def _query(name: str, label: str, query: str, source: DataSourceRef) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(source)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )


def _others() -> build.DashboardLink:
    return (
        build.DashboardLink("hltmode").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
        .include_vars(True).keep_time(True)
    )  # fmt: skip


def _runbooks() -> build.DashboardLink:
    return build.DashboardLink("Runbooks").type(DashboardLinkType.LINK).url(RUNBOOKS).target_blank(True).icon("doc")


def _link(title: str, url: str) -> DashboardLink:
    return build.DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(True).build()
