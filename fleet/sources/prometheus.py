"""A Prometheus as a source: `prometheus:http://host:9090`, by the mode series that collectors export."""

from __future__ import annotations

from typing import Final

from contract.metric_names import MODE
from contract.modes import Mode
from fleet.node_sets import NAME
from fleet.sources.asking import Way
from fleet.sources.found import BadSource, Found, Known, unknown_mode
from fleet.sources.instant import Sample, ask_instantly

WITHIN_S: Final = 10.0

# Node and BU may both tell of a node; of four series a node has one that is 1, none when its mode is unknown.
QUERY: Final = f"max by (host, appliance, mode) ({MODE})"


async def ask_prometheus(url: str) -> Known:
    """Returns the nodes whose mode series the Prometheus at `url` has. Raises BadSource."""
    source = f"prometheus:{url}"
    nodes = nodes_of(await ask_instantly(Way(source, WITHIN_S, {}), url, QUERY))
    if not nodes:
        raise BadSource(f"{source}: has no series {MODE}; does it scrape the collectors?")
    return Known(nodes, unknown_mode(nodes, source, "no series of theirs is 1, or several are"))


def nodes_of(samples: tuple[Sample, ...]) -> tuple[Found, ...]:
    """Returns the nodes that the samples tell of; one that is in several modes at once is in none that is known."""
    appliances: dict[str, str] = {}
    modes: dict[str, set[str]] = {}
    for sample in samples:
        labels = sample.metric
        host = labels.get("host", "")
        if not NAME.fullmatch(host):
            continue
        appliances[host] = labels.get("appliance") or appliances.get(host, "")
        modes.setdefault(host, set())
        if sample.value[1] == "1":
            modes[host].add(labels.get("mode", ""))
    return tuple(Found(host=host, appliance=appliances[host], mode=_mode(seen)) for host, seen in sorted(modes.items()))


def _mode(seen: set[str]) -> Mode | None:
    word = next(iter(seen)) if len(seen) == 1 else ""
    return Mode(word) if word in set(Mode) else None
