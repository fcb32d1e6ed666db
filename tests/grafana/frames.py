"""What a query answers, in the form of Grafana: a series over time, or a table."""

from __future__ import annotations

from typing import Any, NamedTuple


class Series(NamedTuple):
    """A named line: pairs of Unix seconds and a value, None where there is none."""

    name: str
    points: list[tuple[float, float | None]]

    @property
    def empty(self) -> bool:
        """Whether there is no value at all."""
        return all(value is None for _, value in self.points)


class Table(NamedTuple):
    """Columns by name; all are of one length."""

    columns: dict[str, list[Any]]

    @property
    def empty(self) -> bool:
        """Whether there is no row, or nothing in any cell."""
        return all(cell is None for cells in self.columns.values() for cell in cells)


Frame = Series | Table


def table_of(rows: list[dict[str, Any]]) -> Table:
    """Returns a table with a column for each key that any row has."""
    names = dict.fromkeys(key for row in rows for key in row)
    return Table({name: [row.get(name) for row in rows] for name in names})
