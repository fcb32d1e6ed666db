"""What box folders, a Prometheus and an index tell of nodes, and what is made of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from collector.index.fields import FIELDS as INDEX_FIELDS
from contract.box import BuBox, write_box
from contract.config import NodeConfig
from contract.errors import ConfigError, MountHangs
from contract.index_names import CURRENT
from contract.metric_names import MODE
from contract.modes import Mode
from contract.sink import Sink
from contract.times import hltd_date
from fleet.node_sets import BadHosts
from fleet.sources import boxes, index, prometheus
from fleet.sources.boxes import read_boxes
from fleet.sources.found import BadSource, Filters, Found, Known, filtered, merged, named
from fleet.sources.instant import Sample
from fleet.sources.prometheus import nodes_of
from tests.unit.test_collector_facts import make_box

NODES = (
    Found(host="fu-1", appliance="bu-c2f01", mode=Mode.HLT),
    Found(host="fu-2", appliance="bu-c2f01", mode=Mode.CLOUD),
    Found(host="fu-3", appliance="bu-c2f02", mode=Mode.HLT),
    Found(host="fu-4", appliance="bu-c2f02"),
)


def bu_box(now_s: float) -> BuBox:
    return BuBox(
        fm_date=hltd_date(now_s), usedRamdisk=1, totalRamdisk=2, usedOutput=1, totalOutput=2, activeRuns=[], version=5
    )


def box_folder(folder: Path, now_s: float) -> Path:
    """Returns a folder with boxes of ours and of hltd, an old one, and what is no box."""
    folder.mkdir()
    for host, state, mode, age_s in (
        ("fu-1", "off", Mode.HLT, 0.0), ("fu-2", "on", None, 3.0), ("fu-3", "resourcesMasked", None, 0.0),
        ("fu-4", "off", None, 60.0),
    ):  # fmt: skip
        write_box(folder / host, make_box(state, mode=mode, fm_date=hltd_date(now_s - age_s)))
    write_box(folder / "bu-c2f01", bu_box(now_s))
    (folder / "fu-5").write_text("{")
    (folder / ".hidden").write_text("{")
    (folder / "not a host").write_text("{}")
    os.mkfifo(folder / "fu-6")
    return folder


def test_a_box_folder_tells_appliance_and_mode_and_what_is_wrong_in_it(tmp_path: Path) -> None:
    now_s = time.time()
    known = read_boxes(str(box_folder(tmp_path / "boxes", now_s)), now_s)
    assert {each.host: each.mode for each in known.nodes} == {
        "fu-1": Mode.HLT, "fu-2": Mode.CLOUD, "fu-3": Mode.HLT, "fu-4": None,
    }  # fmt: skip
    assert {each.appliance for each in known.nodes} == {"bu-c2f01"}
    assert [note.split(": ", 1)[1] for note in known.notes] == [
        "the mode of 1 nodes is not known, their box files are older than 10 s: fu-4",
        "1 files are no box files of version 5 (fu-5)",
    ]


def test_a_pattern_is_several_folders(tmp_path: Path) -> None:
    now_s = time.time()
    for appliance in ("bu-1", "bu-2"):
        folder = tmp_path / appliance / "boxes"
        folder.mkdir(parents=True)
        write_box(folder / f"fu-of-{appliance}", make_box("off", fm_date=hltd_date(now_s)))
        write_box(folder / appliance, bu_box(now_s))
    known = read_boxes(f"{tmp_path}/*/boxes", now_s)
    assert [(each.host, each.appliance) for each in known.nodes] == [("fu-of-bu-1", "bu-1"), ("fu-of-bu-2", "bu-2")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "cannot be read (No such file or directory)"),
        ("file", "cannot be read (Not a directory)"),
        ("empty", "holds no box file"),
        ("rubbish", "holds no box file"),
        ("*/nothing", "there is no such folder"),
    ],
)
def test_a_box_folder_that_is_none_is_said_in_a_line(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "rubbish").mkdir()
    (tmp_path / "rubbish" / "fu-1").write_bytes(b"\0\xff")
    with pytest.raises(BadSource) as error:
        read_boxes(str(tmp_path / name), time.time())
    assert str(error.value).startswith(f"boxes:{tmp_path / name}: ")
    assert said in str(error.value)


def test_a_box_folder_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def hanging(_path: Path, **_how: int) -> None:
        answers.wait(30)

    write_box(tmp_path / "fu-1", make_box("off"))
    monkeypatch.setattr(boxes, "read_box", hanging)
    with pytest.raises(MountHangs, match="no answer within"):
        read_boxes(str(tmp_path), time.time(), within_s=0.05)
    answers.set()


def test_a_node_whose_series_say_two_modes_or_none_is_in_none_that_is_known() -> None:
    def sample(host: str, appliance: str, mode: str, value: str) -> Sample:
        return Sample({"host": host, "appliance": appliance, "mode": mode}, (1.0, value))

    told = nodes_of(
        (
            sample("fu-1", "", "HLT", "1"), sample("fu-1", "bu-1", "HLT", "1"), sample("fu-1", "bu-1", "cloud", "0"),
            sample("fu-2", "bu-1", "HLT", "1"), sample("fu-2", "bu-1", "cloud", "1"),
            sample("fu-3", "bu-1", "HLT", "0"), sample("fu-4", "bu-1", "standby", "1"), sample("", "bu-1", "HLT", "1"),
        )
    )  # fmt: skip
    assert told == (
        Found(host="fu-1", appliance="bu-1", mode=Mode.HLT),
        Found(host="fu-2", appliance="bu-1"),
        Found(host="fu-3", appliance="bu-1"),
        Found(host="fu-4", appliance="bu-1"),
    )


def test_what_is_read_of_the_index_is_what_the_collector_writes_there() -> None:
    assert set(index.FIELDS) <= {field.name for field in INDEX_FIELDS[CURRENT]}
    assert MODE in prometheus.QUERY


def test_a_sink_is_found_by_name_and_the_first_without() -> None:
    sinks = [Sink(kind="opensearch", hosts=["http://a"], name=name) for name in ("one", "two")]  # type: ignore[arg-type]  # as TOML has it
    config = NodeConfig(sink=sinks)
    assert index.sink_named(config, "").name == "one"
    assert index.sink_named(config, "two").name == "two"
    with pytest.raises(ConfigError, match=r"index:three: no such .* there: one, two"):
        index.sink_named(config, "three")


@pytest.mark.parametrize(
    ("filters", "hosts"),
    [
        (Filters(), "fu-1 fu-2 fu-3 fu-4"),
        (Filters(("bu-c2f01",)), "fu-1 fu-2"),
        (Filters(("bu-c2f[01-03]",)), "fu-1 fu-2 fu-3 fu-4"),
        (Filters(("bu-*2",)), "fu-3 fu-4"),
        (Filters(("bu-c2f0[1]*",)), ""),  # in a pattern a bracket is a bracket
        (Filters((), (Mode.HLT,)), "fu-1 fu-3"),
        (Filters(("bu-c2f02",), (Mode.HLT, Mode.CLOUD)), "fu-3"),
    ],
)
def test_filters_want_appliance_and_mode(filters: Filters, hosts: str) -> None:
    assert " ".join(each.host for each in filtered(NODES, filters)) == hosts


def test_a_set_of_appliances_that_makes_no_sense_is_told() -> None:
    with pytest.raises(BadHosts, match="not a set"):
        filtered(NODES, Filters(("bu-[1-",)))


def test_names_narrow_what_a_source_knows() -> None:
    assert named(NODES, ["fu-3", "fu-9"]) == ([NODES[2]], ["fu-9"])


def test_of_several_sources_the_first_that_knows_the_mode_is_believed() -> None:
    first = Known((Found(host="fu-1"), Found(host="fu-2", mode=Mode.CLOUD)), ("one",))
    second = Known((Found(host="fu-1", mode=Mode.HLT), Found(host="fu-2", mode=Mode.HLT)), ("two",))
    both = merged([first, second])
    assert {each.host: each.mode for each in both.nodes} == {"fu-1": Mode.HLT, "fu-2": Mode.CLOUD}
    assert both.notes == ("one", "two")
