"""The box folder of a BU as a source: `boxes:/fff/ramdisk/appliance/boxes`, a folder or a pattern of folders.

The BU's own box file lies in the same folder under the BU's name, which so is the name of the appliance.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contract.box import OLD_AFTER_S, Box, BuBox, box_mode, read_box, written_s
from contract.errors import Unreadable
from contract.modes import Mode
from contract.mount import Mount
from fleet.node_sets import NAME
from fleet.sources.found import BadSource, Found, Known, unknown_mode

WITHIN_S: Final = 10.0
PAUSES_S: Final = (0.0, 0.02, 0.05)  # a box file may be caught while its node rewrites it


def read_boxes(pattern: str, now_s: float, *, within_s: float = WITHIN_S) -> Known:
    """Returns the filter units whose box files lie in the folders of `pattern`. Raises BadSource."""
    mount = Mount(pattern)
    try:
        return mount.call(lambda: _read_all(pattern, now_s), timeout_s=within_s)
    except OSError as error:
        raise BadSource(f"boxes:{pattern}: cannot be read ({error.strerror})") from error
    finally:
        mount.close()


def _read_all(pattern: str, now_s: float) -> Known:
    folders = sorted(_matching(Path(pattern))) if set("*?[") & set(pattern) else [Path(pattern)]
    if not folders:
        raise BadSource(f"boxes:{pattern}: there is no such folder; wanted is appliance/boxes on the ramdisk of a BU")
    parts = [_read_folder(folder, now_s) for folder in folders]
    nodes = tuple(node for part in parts for node in part.nodes)
    if not nodes:
        raise BadSource(f"boxes:{pattern}: holds no box file of a filter unit; is it a BU's appliance/boxes?")
    return Known(nodes, tuple(note for part in parts for note in part.notes))


def _matching(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor or ".")
    return root.glob(str(pattern.relative_to(pattern.anchor)))


def _read_folder(folder: Path, now_s: float) -> Known:
    boxes: dict[str, Box | BuBox] = {}
    waiting = sorted(_plain_files(folder))
    for pause_s in PAUSES_S:
        time.sleep(pause_s if waiting else 0.0)
        waiting = [path for path in waiting if not _take(path, boxes)]
    appliance = next((name for name, box in boxes.items() if isinstance(box, BuBox)), "")
    nodes = [
        Found(host=host, appliance=appliance, mode=_mode(box, now_s))
        for host, box in boxes.items()
        if isinstance(box, Box)
    ]
    source = f"boxes:{folder}"
    notes = unknown_mode(nodes, source, f"their box files are older than {OLD_AFTER_S:g} s")
    if waiting:
        some = ", ".join(path.name for path in waiting[:3])
        notes += (f"{source}: {len(waiting)} files are no box files of version 5 ({some})",)
    return Known(tuple(nodes), notes)


def _plain_files(folder: Path) -> Iterator[Path]:
    """Yields what may be a box file; a pipe or a device would hold the reader."""
    for path in folder.iterdir():
        try:
            plain = stat.S_ISREG(path.lstat().st_mode)
        except FileNotFoundError:
            continue
        if plain and NAME.fullmatch(path.name):
            yield path


def _take(path: Path, boxes: dict[str, Box | BuBox]) -> bool:
    try:
        boxes[path.name] = read_box(path, attempts=1)
    except Unreadable:
        return not path.exists()
    return True


def _mode(box: Box, now_s: float) -> Mode | None:
    date_s = written_s(box)
    return box_mode(box) if date_s is not None and now_s - date_s <= OLD_AFTER_S else None
