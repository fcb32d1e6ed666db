"""The file of nodes as a server finds it while people edit it: real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.hosts import Place, read_places
from fleet.node_sets import BadHosts
from fleet.nodes_file import NodesFile

LINES = "fu-1 bu-1 10.0.0.1\nfu-2 bu-1 10.0.0.2\n"


def watched(path: Path, text: str = LINES) -> NodesFile:
    path.write_text(text)
    file = NodesFile(path, read_places(path))
    for _ in range(3):
        assert file.changed() is None
    return file


def test_a_changed_file_is_read_when_it_is_the_same_at_two_looks(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    file = watched(path)
    path.write_text(LINES + "fu-3 bu-2")
    assert file.changed() is None
    path.write_text(LINES + "fu-3 bu-2 10.0.0.3\n")
    assert file.changed() is None, "it has changed since the look before"
    found = file.changed()
    assert found is not None
    assert list(found) == ["fu-1", "fu-2", "fu-3"]
    assert found["fu-3"] == Place("10.0.0.3:9000", "bu-2")
    assert file.changed() is None


def test_what_changed_before_the_first_look_is_found(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    path.write_text(LINES)
    file = NodesFile(path, {"fu-1": Place("10.0.0.1:9000", "bu-1")})
    assert file.changed() is None
    assert list(file.changed() or ()) == ["fu-1", "fu-2"]


@pytest.mark.parametrize("text", ["fu-1\n", "", "# nobody\n", "\udcff", "fu-1 bu-1\nfu-1 bu-1\n"])
def test_what_is_wrong_is_said_once_and_mended_by_the_next(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nodes"
    file = watched(path)
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert file.changed() is None
    with pytest.raises(BadHosts, match=r"^\S*/nodes"):
        file.changed()
    assert file.changed() is None
    path.write_text("fu-9 bu-9\n")
    assert file.changed() is None
    assert list(file.changed() or ()) == ["fu-9"]


def test_a_file_that_is_gone_is_said_once_and_one_in_its_place_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    file = watched(path)
    path.unlink()
    assert file.changed() is None
    with pytest.raises(BadHosts, match="cannot be read"):
        file.changed()
    assert file.changed() is None
    (tmp_path / "other").write_text("fu-2 bu-1 10.0.0.2\n")
    (tmp_path / "other").replace(path)
    assert file.changed() is None
    assert list(file.changed() or ()) == ["fu-2"]


def test_other_comments_are_no_other_nodes_and_another_order_is_another_list(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    file = watched(path)
    path.write_text(f"# as before\n{LINES}")
    assert [file.changed(), file.changed()] == [None, None]
    path.write_text("\n".join(reversed(LINES.splitlines())))
    assert file.changed() is None
    assert list(file.changed() or ()) == ["fu-2", "fu-1"]
