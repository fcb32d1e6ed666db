"""The role `appliance` look by look: documents, modes and switches of all filter units."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.documents import Document
from collector.sources.appliance import ApplianceSource
from collector.sources.looks import Look
from contract.box import write_box
from contract.config import Node, NodeConfig
from contract.modes import Mode, Vms
from contract.times import hltd_date, iso
from tests.unit.test_collector_facts import NOW_S, make_box

pytestmark = pytest.mark.usefixtures("files_answer")


class Bu:
    """A BU's folder, and a collector's look at it."""

    def __init__(self, root: Path, **node: str) -> None:
        self.config = NodeConfig(node=Node(**({"host": "bu-1", "bu_dir": str(root)} | node)))
        self.folder = self.config.paths.bu.boxes
        self.folder.mkdir(parents=True)
        self.source = ApplianceSource(self.config, {})
        self.begin_s = float(int(time.time()) - 1000)  # what is to come is no date of a box

    def hltd(self, host: str, cloud_state: str, second: float = 0.0) -> None:
        write_box(self.folder / host, make_box(cloud_state, fm_date=hltd_date(self.begin_s + second)))

    def ours(self, host: str, mode: str, second: float = 0.0, **more: object) -> None:
        fields = {"mode": mode, "mode_since": iso(NOW_S + second), "vms": "down", "stuck": False} | more
        write_box(self.folder / host, make_box("off", **fields))

    def look(self, *, whole: bool = True) -> Look:
        look = self.source.look(7, whole=whole)
        self.source.kept()
        return look

    def restart(self, boxes: dict[str, Document]) -> None:
        self.source.stop()
        self.source = ApplianceSource(self.config, boxes)


@pytest.fixture
def bu(tmp_path: Path) -> Iterator[Bu]:
    bu = Bu(tmp_path)
    yield bu
    bu.source.stop()


def test_each_filter_unit_has_a_document_of_its_own_and_the_bu_has_none(bu: Bu) -> None:
    bu.hltd("fu-1", "off")
    bu.ours("fu-2", "cloud", -60, vms="up", switch_id="r1", idles=3)
    look = bu.look()
    documents = {box.host: box.fields for box in look.boxes}
    assert set(documents) == {"fu-1", "fu-2"}
    assert {document["appliance"] for document in documents.values()} == {"bu-1"}
    assert documents["fu-1"]["mode"] == "HLT"
    second = documents["fu-2"]
    wanted = {"mode": Mode.CLOUD, "mode_since": iso(NOW_S - 60), "vms": Vms.UP, "switch_id": "r1", "idles": 3}
    assert {name: second[name] for name in wanted} == wanted
    assert len({document["@timestamp"] for document in documents.values()}) == 1
    assert look.upto == 7


def test_the_appliance_has_its_configured_name_or_that_of_its_bu(tmp_path: Path) -> None:
    bu = Bu(tmp_path, appliance="bu-c2f01")
    bu.hltd("fu-1", "off")
    (node,) = bu.look().nodes
    assert (node.host, node.appliance) == ("fu-1", "bu-c2f01")
    bu.source.stop()


def test_switches_are_observed_of_nodes_without_our_switcher_only(bu: Bu) -> None:
    for second, state, mode in (
        (0, "off", "HLT"),
        (5, "starting", "activatingCloud"),
        (10, "on", "cloud"),
        (15, "on", "cloud"),
    ):
        bu.hltd("fu-1", state, second)
        bu.ours("fu-2", mode, second)
        look = bu.look()
        if second == 10:
            (switch,) = look.switches
            assert (switch.host, switch.to.value, dict(switch.phases)) == ("fu-1", "cloud", {"drain": 5.0})
            assert switch.document.fields["observed"] is True
        else:
            assert look.switches == ()


def test_only_a_node_whose_mode_has_changed_is_looked_at_between_samples(bu: Bu) -> None:
    bu.hltd("fu-1", "off")
    bu.ours("fu-2", "HLT")
    bu.look()
    assert not bu.source.changed()
    bu.hltd("fu-1", "off", 5)
    bu.ours("fu-2", "HLT", idles=1)
    assert not bu.source.changed()
    bu.ours("fu-2", "activatingCloud")
    assert bu.source.changed()
    look = bu.look(whole=False)
    assert [box.host for box in look.boxes] == ["fu-2"]
    assert {node.host: node.now.mode for node in look.nodes} == {"fu-1": Mode.HLT, "fu-2": Mode.ACTIVATING_CLOUD}
    assert not bu.source.changed()


def test_a_new_node_is_looked_at_at_once(bu: Bu) -> None:
    bu.look()
    bu.hltd("fu-1", "off")
    assert bu.source.changed()
    assert [box.host for box in bu.look(whole=False).boxes] == ["fu-1"]


def test_an_old_box_is_marked_and_one_that_has_gone_is_dropped(bu: Bu) -> None:
    bu.hltd("fu-1", "off", -100)
    look = bu.look()
    assert look.boxes[0].fields["box_old"] is True
    (bu.folder / "fu-1").unlink()
    gone = bu.look()
    assert (gone.boxes, gone.nodes) == ((), ())


def test_a_restart_between_any_two_boxes_makes_the_same_switches_and_no_mode_younger(bu: Bu) -> None:
    switches, since = [], []
    for second, state in ((0, "off"), (5, "starting"), (10, "starting"), (15, "on"), (20, "stopping"), (25, "off")):
        bu.hltd("fu-1", state, second)
        look = bu.look()
        switches += [switch.document.fields for switch in look.switches]
        since.append(look.boxes[0].fields["mode_since"])
        bu.restart({"fu-1": look.boxes[0].fields})
    assert [(switch["to"], switch["duration_s"]) for switch in switches] == [("cloud", 10.0), ("HLT", 5.0)]
    assert since == [iso(bu.begin_s + second) for second in (0, 5, 5, 15, 20, 25)]
