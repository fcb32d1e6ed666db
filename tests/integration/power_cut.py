"""What a power cut would leave of a node's folders, at every moment of a journey.

`record` has the launched switcher write down its file operations, from outside. `Disk` replays them and knows at each
moment what is certain to be on disk: a file's content from its fsync on, a name from the fsync of its folder on. All
else may be there or not. `images` yields the worst of it: of the names that are not certain none, all, only the first
so many (file systems keep them in order) or those of one tree (each may be a file system of its own); of content that
is not certain nothing, all, the first half, or zeros in its place. One rename is taken to be atomic, as file systems
with a journal promise.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from switcher.carrying import Carrier
from switcher.events import Effect, Reply
from switcher.states import State
from switcher.timeline import Timeline

TREES: Final = ("state", "data", "resources")
PASSED_OVER: Final = ("output", "switcher.lock")  # of no meaning for the next start


def record(folder: Path, log: Path) -> None:
    """Has this process write to `log` what it does to the trees of the node in `folder`, in the order of doing."""
    _Recorder(folder, log).wrap()


class _Recorder:
    def __init__(self, folder: Path, log: Path) -> None:
        self._folder = folder
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._lock = threading.RLock()
        self._open: dict[int, str] = {}
        self._write, self._exists = os.write, os.path.lexists

    def wrap(self) -> None:
        for name in ("open", "close", "write", "ftruncate", "fsync", "rename", "unlink", "mkdir", "rmdir"):
            setattr(os, name, self._wrapped(getattr(os, name), getattr(self, f"_{name}_done")))
        carry_out = Carrier.carry_out

        async def carried(carrier: Carrier, effect: Effect, state: State, timeline: Timeline) -> object:
            if isinstance(effect, Reply):
                self._note("answered", id=effect.answer.id)
            return await carry_out(carrier, effect, state, timeline)

        Carrier.carry_out = carried  # type: ignore[method-assign, assignment]  # seen from outside, as in killed_switcher

    def _wrapped(self, call: Callable[..., Any], done: Callable[..., None]) -> Callable[..., Any]:
        def wrapped(*args: Any, **named: Any) -> Any:
            with self._lock:
                first = self._name(args[0]) if args and not isinstance(args[0], int) else ""
                known = self._exists(self._folder / first) if first else False
                result = call(*args, **named)
                done(result, known, *args)
                return result

        return wrapped

    def _name(self, path: Any) -> str:
        """Returns the name within the node's trees, empty for what lies elsewhere."""
        text = os.fspath(path)
        if isinstance(text, str) and text.startswith("/proc/self/fd/"):  # a run directory that is held open
            text = f"{os.path.realpath(os.path.dirname(text))}/{os.path.basename(text)}"  # noqa: PTH119, PTH120 - never through the wrapped calls
        prefix = f"{self._folder}/"
        inner = text.removeprefix(prefix) if isinstance(text, str) and text.startswith(prefix) else ""
        tree, _, rest = inner.partition("/")
        return inner if tree in TREES and rest.partition("/")[0] not in PASSED_OVER else ""

    def _note(self, kind: str, **more: Any) -> None:
        with self._lock:
            self._write(self._log, json.dumps({"op": kind, **more}).encode() + b"\n")

    def _open_done(self, descriptor: int, known: bool, path: Any, flags: int, *_: Any) -> None:
        if name := self._name(path):
            self._open[descriptor] = name
            if flags & os.O_CREAT and not known:
                self._note("create", path=name)
            elif flags & os.O_TRUNC:
                self._note("resize", path=name, size=0)

    def _close_done(self, _result: None, _known: bool, descriptor: int) -> None:
        self._open.pop(descriptor, None)

    def _write_done(self, count: int, _known: bool, descriptor: int, data: Any) -> None:
        if name := self._open.get(descriptor):
            self._note("write", path=name, data=base64.b64encode(bytes(data)[:count]).decode())

    def _ftruncate_done(self, _result: None, _known: bool, descriptor: int, size: int) -> None:
        if name := self._open.get(descriptor):
            self._note("resize", path=name, size=size)

    def _fsync_done(self, _result: None, _known: bool, descriptor: int) -> None:
        if name := self._open.get(descriptor):
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            self._note("sync_folder" if folder else "sync", path=name)

    def _rename_done(self, _result: None, _known: bool, old: Any, new: Any, **_: Any) -> None:
        if (source := self._name(old)) and (target := self._name(new)):
            path = self._folder / target
            content = base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""
            self._note("rename", path=source, to=target, data=content)
            for descriptor, name in self._open.items():
                if name == source:
                    self._open[descriptor] = target

    def _unlink_done(self, _result: None, _known: bool, path: Any, **_: Any) -> None:
        if name := self._name(path):
            self._note("remove", path=name)

    def _rmdir_done(self, _result: None, _known: bool, path: Any, **_: Any) -> None:
        if name := self._name(path):
            self._note("remove", path=name, folder=True)

    def _mkdir_done(self, _result: None, _known: bool, path: Any, *_: Any, **__: Any) -> None:
        if name := self._name(path):
            self._note("mkdir", path=name)


class File:
    """An inode: its content now, and what of it is certain to be on disk. A folder has none."""

    def __init__(self, *, folder: bool = False, content: bytes = b"") -> None:
        self.folder = folder
        self.content = content
        self.certain = content

    def variants(self) -> dict[str, bytes]:
        """Returns what a power cut may leave of the content."""
        rest = self.content[len(self.certain) :] if self.content.startswith(self.certain) else self.content
        return {
            "no content": self.certain,
            "all content": self.content,
            "half": self.certain + rest[: len(rest) // 2],
            "zeros": self.certain + b"\0" * len(rest),
        }


Names = dict[str, File]
Change = tuple[frozenset[str], Callable[[Names], None]]


class Image(NamedTuple):
    """What a power cut after operation `moment` may leave: names with content, None for folders."""

    moment: int
    last: str
    how: str
    files: dict[str, bytes | None]
    answered: tuple[str, ...]


class Disk:
    """The node's trees, as they are and as they certainly are."""

    def __init__(self, folder: Path) -> None:
        self.now: Names = {}
        for tree in TREES:
            for path in sorted((folder / tree).rglob("*")):
                inner = str(path.relative_to(folder))
                if not set(PASSED_OVER) & set(path.parts):
                    self.now[inner] = File(folder=path.is_dir(), content=path.read_bytes() if path.is_file() else b"")
        self.certain: Names = dict(self.now)
        self.pending: list[tuple[frozenset[str], set[str], Callable[[Names], None]]] = []
        self.answered: tuple[str, ...] = ()

    def play(self, op: dict[str, Any]) -> None:
        """Takes over one operation."""
        path = op.get("path", "")
        match op["op"]:
            case "answered":
                self.answered = (*self.answered, op["id"])
            case "create" | "mkdir":
                self._meet(path)
                file = File(folder=op["op"] == "mkdir")
                self._change({_parent(path)}, lambda names: names.__setitem__(path, file))
            case "write":
                self.now[path].content += base64.b64decode(op["data"])
            case "resize":
                file = self._found(path)
                file.content = file.content[: op["size"]]
            case "sync":
                file = self._found(path)
                file.certain = file.content
            case "sync_folder":
                self._sync(path)
            case "rename":
                self._rename(path, op["to"], base64.b64decode(op["data"]))
            case "remove":
                self._found(path, folder=op.get("folder", False))
                self._change({_parent(path)}, lambda names: names.pop(path, None))

    def _rename(self, old: str, new: str, content: bytes) -> None:
        self._found(old, content)

        def renamed(names: Names) -> None:
            if old in names:
                names[new] = names.pop(old)

        self._change({_parent(old), _parent(new)}, renamed)

    def _found(self, path: str, content: bytes = b"", *, folder: bool = False) -> File:
        """Returns the file; one that somebody else has made was made with care, and is certain."""
        self._meet(path)
        if path not in self.now:
            self.now[path] = self.certain[path] = File(content=content, folder=folder)
        return self.now[path]

    def _meet(self, path: str) -> None:
        """Takes note of folders that somebody else has made."""
        parent = _parent(path)
        if "/" in parent and parent not in self.now:
            self._meet(parent)
            self.now[parent] = self.certain[parent] = File(folder=True)

    def _change(self, folders: set[str], change: Callable[[Names], object]) -> None:
        def apply(names: Names) -> None:
            change(names)

        apply(self.now)
        self.pending.append((frozenset(folders), set(folders), apply))

    def _sync(self, folder: str) -> None:
        still: list[tuple[frozenset[str], set[str], Callable[[Names], None]]] = []
        for folders, unsynced, apply in self.pending:
            unsynced.discard(folder)
            if unsynced:
                still.append((folders, unsynced, apply))
            else:
                apply(self.certain)
        self.pending = still

    def images(self, moment: int, last: str) -> Iterator[Image]:
        """Yields what a power cut now may leave."""
        choices: dict[str, list[Callable[[Names], None]]] = {"no names": []}
        for count in range(1, len(self.pending) + 1):
            choices[f"first {count} names"] = [apply for _, _, apply in self.pending[:count]]
        for tree in TREES:
            of_tree = [apply for folders, _, apply in self.pending if all(name.startswith(tree) for name in folders)]
            choices[f"names in {tree}"] = of_tree
        for how, applied in choices.items():
            names = dict(self.certain)
            for apply in applied:
                apply(names)
            for kind in ("no content", "all content", "half", "zeros"):
                files = {name: None if file.folder else file.variants()[kind] for name, file in names.items()}
                yield Image(moment, last, f"{how}, {kind}", files, self.answered)


def images(disk: Disk, log: Path) -> Iterator[Image]:
    """Yields each image that differs from all before, from the first operation in `log` to the last."""
    seen: set[int] = set()
    for moment, line in enumerate(log.read_text().splitlines(), 1):
        op = json.loads(line)
        disk.play(op)
        last = f"{op['op']} {op.get('path', '')}".strip()
        for image in disk.images(moment, last):
            mark = hash((tuple(sorted(image.files.items())), image.answered))
            if mark not in seen:
                seen.add(mark)
                yield image


def put(image: Image, folder: Path) -> None:
    """Writes an image into the empty trees of a node in `folder`."""
    for name, content in sorted(image.files.items()):
        path = folder / name
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]
