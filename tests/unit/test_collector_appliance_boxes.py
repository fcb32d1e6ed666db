"""The box files of an appliance: good ones are read whatever else lies in the folder."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from collector.sources import appliance_boxes, slow_files
from collector.sources.appliance_boxes import BoxFolder, read_boxes
from contract.box import LARGEST_BYTES, BuBox, parse_box, write_box
from contract.errors import Unreadable
from tests.integration.node import wait_for
from tests.unit.test_collector_facts import NOW_S, make_box

SAMPLES = Path(__file__).parent.parent / "samples" / "boxes"
pytestmark = pytest.mark.usefixtures("files_answer")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[BoxFolder]:
    folder = BoxFolder(tmp_path, 60.0)
    yield folder
    folder.stop()


def bad_ones(folder: Path) -> dict[str, str]:
    """Puts everything into `folder` that is no box file, and returns what is said of it."""
    (folder / "half").write_bytes(msgspec.json.encode(make_box())[:200])
    (folder / "empty").touch()
    (folder / "version4").write_bytes(msgspec.json.encode(make_box(version=4)))
    (folder / "types").write_text('{"version": 5, "idles": "many"}')
    (folder / "list").write_text("[5]")
    (folder / "large").write_bytes(b" " * (10 << 20))
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(folder / "fu-1")
    write_box(folder / "fu 1; rm", make_box())
    return {
        "half": "not a box file", "empty": "not a box file", "version4": "version 4", "types": "not a box file",
        "list": "not a box file", "large": "larger than", "pipe": "no regular file", "folder": "no regular file",
        "link": "no box file to read", "fu 1; rm": "no host name",
    }  # fmt: skip


def test_boxes_are_read_by_host_and_the_bus_own_is_none(tmp_path: Path, folder: BoxFolder) -> None:
    write_box(tmp_path / "fu-1", make_box(idles=1))
    (tmp_path / "fu-2").write_bytes((SAMPLES / "fu-on-norun.json").read_bytes())
    (tmp_path / "bu-1").write_bytes((SAMPLES / "bu.json").read_bytes())
    assert isinstance(parse_box((tmp_path / "bu-1").read_bytes(), ""), BuBox)
    (tmp_path / ".fu-3.tmp").write_text("{")
    found = folder.read()
    assert {host: seen.box.cloudState for host, seen in found.items() if seen.box} == {"fu-1": "off", "fu-2": "on"}
    assert folder.failures == 0


def test_what_is_no_box_file_stops_no_other_and_is_said_once(
    tmp_path: Path, folder: BoxFolder, caplog: pytest.LogCaptureFixture
) -> None:
    write_box(tmp_path / "fu-1", make_box(idles=1))
    said = bad_ones(tmp_path)
    assert set(folder.read()) == {"fu-1"}  # nobody was there if one of them had held the look up
    for at in range(3):
        write_box(tmp_path / "fu-1", make_box(idles=at))
        assert set(folder.read()) == {"fu-1"}
    for name, words in said.items():
        lines = [record.getMessage() for record in caplog.records if f"{tmp_path / name}: " in record.getMessage()]
        assert len(lines) == 1 and words in lines[0], (name, lines)
        assert "\n" not in lines[0]


def test_a_node_whose_box_is_damaged_keeps_its_last_good_one_marked_until_it_is_good_again(
    tmp_path: Path, folder: BoxFolder, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_box(tmp_path / "fu-1", make_box(idles=3))
    assert not folder.read()["fu-1"].failed
    (tmp_path / "fu-1").write_text("{")
    for _ in range(2):
        seen = folder.read()["fu-1"]
        assert seen.box is not None and (seen.box.idles, seen.failed) == (3, True)
    write_box(tmp_path / "fu-1", make_box(idles=2))
    seen = folder.read()["fu-1"]
    assert seen.box is not None and (seen.box.idles, seen.failed) == (2, False)
    assert "readable again" in caplog.text


def test_a_node_whose_file_has_gone_has_gone(tmp_path: Path, folder: BoxFolder) -> None:
    write_box(tmp_path / "fu-1", make_box())
    assert set(folder.read()) == {"fu-1"}
    os.utime(tmp_path / "fu-1", (NOW_S, NOW_S))
    assert folder.read()["fu-1"].changed_s == NOW_S
    (tmp_path / "fu-1").unlink()
    assert folder.read() == {}


def test_a_file_that_has_not_changed_is_not_opened_again(tmp_path: Path) -> None:
    write_box(tmp_path / "fu-1", make_box())
    first = read_boxes(tmp_path, {})
    assert read_boxes(tmp_path, first)["fu-1"] is first["fu-1"]
    write_box(tmp_path / "fu-1", make_box(idles=17))
    box = read_boxes(tmp_path, first)["fu-1"].box
    assert box is not None and box.idles == 17


def test_a_half_written_box_is_read_again_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = msgspec.json.encode(make_box(idles=3))
    (tmp_path / "fu-1").write_bytes(content[:100])
    monkeypatch.setattr("time.sleep", lambda _pause_s: (tmp_path / "fu-1").write_bytes(content))
    found = read_boxes(tmp_path, {})["fu-1"].box
    assert found is not None and found.idles == 3


def test_no_folder_is_said_with_its_key_and_keeps_the_nodes_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inner = tmp_path / "boxes"
    with pytest.raises(Unreadable, match=r"see node\.bu_dir"):
        read_boxes(inner, {})
    inner.mkdir()
    write_box(inner / "fu-1", make_box())
    folder = BoxFolder(inner, 60.0)
    assert not folder.read()["fu-1"].failed
    inner.rename(tmp_path / "gone")
    assert folder.read()["fu-1"].failed
    assert folder.read()["fu-1"].failed
    assert caplog.text.count("see node.bu_dir") == 1
    (tmp_path / "gone").rename(inner)
    assert not folder.read()["fu-1"].failed
    folder.stop()


def test_a_folder_that_hangs_costs_one_short_wait_and_is_taken_up_when_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_box(tmp_path / "fu-1", make_box())
    folder = BoxFolder(tmp_path, 60.0)
    assert not folder.read()["fu-1"].failed
    let_go, answered = threading.Event(), threading.Event()

    def hanging(folder: Path, before: appliance_boxes.Files) -> dict[str, appliance_boxes.BoxFile]:
        let_go.wait(50)
        answered.set()
        return read_boxes(folder, before)

    monkeypatch.setattr(appliance_boxes, "read_boxes", hanging)
    monkeypatch.setattr(slow_files, "WAIT_S", 0.2)
    assert not folder.read()["fu-1"].failed
    assert not answered.is_set()
    folder.slow.hangs_after_s = 0.3
    wait_for("the folder is said to hang", lambda: folder.read()["fu-1"].failed)
    assert "no answer within 0.3 s" in caplog.text
    folder.slow.hangs_after_s = 60.0
    monkeypatch.undo()
    let_go.set()
    wait_for("the folder is taken up", lambda: not folder.read()["fu-1"].failed)
    folder.stop()


def test_no_box_may_be_larger_than_the_contract_says(tmp_path: Path) -> None:
    (tmp_path / "fu-1").write_bytes(b"x" * (LARGEST_BYTES + 1))
    assert "larger than" in read_boxes(tmp_path, {})["fu-1"].trouble
