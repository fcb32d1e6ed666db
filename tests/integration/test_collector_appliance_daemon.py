"""The collector of a BU as a process, over box files as unmodified hltd writes them: in place, every now and then."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.documents import SWITCHOVER
from contract import metric_names as names
from contract.times import hltd_date
from tests.integration.node import wait_for
from tests.integration.test_collector_daemon import Collector
from tests.unit.test_collector_facts import make_box

HOSTS = [f"fu-c2f01-{number:02}" for number in range(1, 9)]
JOURNEY = ("off", "starting", "on", "stopping", "off")


class Appliance(Collector):
    """A BU's folder of box files, and the collector that serves all of them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.boxes = self.paths.bu.boxes
        self.boxes.mkdir(parents=True, exist_ok=True)

    def hltd(self, host: str, cloud_state: str) -> None:
        """Writes a box in place, as hltd does: whoever reads meanwhile finds half of it."""
        box = make_box(cloud_state, fm_date=hltd_date(time.time()))
        (self.boxes / host).write_bytes(msgspec.json.encode(box))

    def all_in(self, cloud_state: str) -> None:
        for host in HOSTS:
            self.hltd(host, cloud_state)

    def collect(self) -> None:
        self.start("collector.role=appliance", "collector.interval_s=0.2")

    def series(self, name: str) -> dict[tuple[str, ...], float]:
        """Returns the values by host and what other labels there are."""
        url = self.said.split("ready: ")[-1].split(",")[0]
        with urllib.request.urlopen(url, timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        return {
            (
                sample.labels["host"],
                *sorted(v for k, v in sample.labels.items() if k not in ("host", "appliance")),
            ): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }

    def mode_of(self, host: str) -> str | None:
        found = [mode for (each, mode), value in self.series(names.MODE).items() if each == host and value]
        return found[0] if found else None

    def all_seen(self, mode: str) -> bool:
        return all(self.mode_of(host) == mode for host in HOSTS)

    def counted(self) -> set[tuple[str, ...]]:
        return {labels for labels, value in self.series(names.SWITCHES).items() if value}

    def switches(self) -> Counter[tuple[str, str]]:
        return Counter((str(each["host"]), str(each["to"])) for each in self.documents(SWITCHOVER))


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    appliance = Appliance(tmp_path)
    yield appliance
    appliance.clean()


def test_switches_of_all_nodes_are_seen_once_though_the_collector_is_killed_on_the_way(appliance: Appliance) -> None:
    appliance.all_in("off")
    appliance.collect()
    for place, state in enumerate(JOURNEY[1:]):
        if place in (1, 3):
            appliance.daemons[-1].process.kill()
            appliance.daemons[-1].end()
            appliance.collect()
        appliance.all_in(state)
        wanted = {"off": "HLT", "starting": "activatingCloud", "on": "cloud", "stopping": "deactivatingCloud"}[state]
        wait_for(f"all are seen in {wanted}", partial(appliance.all_seen, wanted))
    wait_for("every switch is recorded", lambda: sum(appliance.switches().values()) >= 2 * len(HOSTS))
    time.sleep(0.5)
    assert appliance.switches() == Counter({(host, to): 1 for host in HOSTS for to in ("cloud", "HLT")})
    assert all(each["observed"] is True and each["outcome"] == "done" for each in appliance.documents(SWITCHOVER))
    back = {(host, "HLT", "done") for host in HOSTS}
    wait_for("those since the last start are counted", lambda: appliance.counted() == back)


def test_bad_files_cost_one_line_each_and_no_good_document(appliance: Appliance) -> None:
    bu = Path(__file__).parents[1] / "samples" / "boxes"
    appliance.all_in("off")
    bad = {
        "fu-half": msgspec.json.encode(make_box())[:100],
        "fu-version": msgspec.json.encode(make_box(version=4)),
        "fu-types": b'{"version": 5, "idles": "many"}',
        "fu-large": b" " * (10 << 20),
    }
    for name, content in bad.items():
        (appliance.boxes / name).write_bytes(content)
    for sample in bu.iterdir():
        (appliance.boxes / sample.name).write_bytes(sample.read_bytes())
    appliance.collect()
    wait_for("some samples", lambda: len(appliance.documents()) > 10 * len(HOSTS))
    hosts = Counter(str(each["host"]) for each in appliance.documents())
    assert set(HOSTS) <= set(hosts)
    assert not set(bad) & set(hosts)
    assert max(hosts[host] for host in HOSTS) - min(hosts[host] for host in HOSTS) <= 1
    for name in bad:
        assert sum(f"/{name}: " in line for line in appliance.said.splitlines()) == 1, name
    assert next(iter(appliance.series(names.BOX_FAILURES).values())) >= len(bad)
    assert all(each["appliance"] == "bu-sim01" for each in appliance.documents())
