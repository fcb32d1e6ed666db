"""The seven CGI URLs that old callers know (hltd contract: CGI). They only read facts or create files.

Files are made in one thread beside the event loop, in the order of the calls, and a call is answered when what it asks
for is on disk. That thread is not the node's: the node may be waiting for its state folder.

An old caller closes its connection object before it reads the body, so every answer from FOLDER, a refusal as well,
ends with the connection (`switcher.http` sees to it).
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from contract.durable import replace_durably, sync_folder
from contract.paths import NodePaths, parse_run, run_name
from contract.request import LONGEST_REASON, LONGEST_WHO, REQUEST_ID, BadRequest, printable
from switcher import tokens
from switcher.hands import Hands
from switcher.intake import CommandFile, look
from switcher.node import Switcher

FOLDER: Final = "/cgi-bin/"
BU_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
RUN_NUMBER: Final = re.compile(r"[0-9]{1,20}")
LARGEST_RUN: Final = 999_999_999

ACTING: Final = frozenset(f"{FOLDER}{name}_cgi.py" for name in ("exclude", "include", "start", "stop"))

Handler = Callable[[web.Request], Awaitable[web.Response]]
FileWork = Callable[[], str]  # returns what the caller is told, and raises OSError


def add_routes(application: web.Application, switcher: Switcher) -> None:
    """Adds the URLs under FOLDER."""
    hands = Hands()
    acting: dict[str, Callable[[web.Request, NodePaths], FileWork]] = {
        "exclude_cgi.py": lambda request, paths: _command(request, paths, "exclude"),
        "include_cgi.py": lambda request, paths: _command(request, paths, "include"),
        "start_cgi.py": _start,
        "stop_cgi.py": _stop,
    }
    telling: dict[str, Callable[[NodePaths], str]] = {
        "cloud_mode_active_cgi.py": _cloud_mode_active,
        "runl_cgi.py": _run_list,
        "run_active_cgi.py": _run_active,
    }

    def doing(asked: Callable[[web.Request, NodePaths], FileWork]) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            text = await hands.do(asked(request, switcher.paths))
            switcher.poke()
            return web.Response(text=f"<html><body>{text}</body></html>\n", content_type="text/html")

        return handle

    def told(answer: Callable[[NodePaths], str]) -> Handler:
        async def handle(_request: web.Request) -> web.Response:
            return web.Response(text=f"{answer(switcher.paths)}\n")

        return handle

    handlers = {name: doing(asked) for name, asked in acting.items()}
    handlers |= {name: told(answer) for name, answer in telling.items()}
    for name, handler in handlers.items():
        application.router.add_get(f"{FOLDER}{name}", _with_errors(handler), allow_head=False)

    async def stop(_application: web.Application) -> None:
        hands.stop()

    application.on_cleanup.append(stop)


def _with_errors(handler: Handler) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except OSError as error:
            return web.Response(status=500, text=f"{error.filename}: {error.strerror}\n")

    return handle


def _command(request: web.Request, paths: NodePaths, command: str) -> FileWork:
    said = CommandFile(
        id=request.query.get("id", ""),
        who=printable(request.query.get("who", f"cgi {request.remote}"), LONGEST_WHO),
        reason=printable(request.query.get("reason", ""), LONGEST_REASON),
    )
    if said.id and not REQUEST_ID.fullmatch(said.id):
        raise BadRequest("id: 1 to 80 letters, digits or ._:@- wanted, a letter or digit first")

    def work() -> str:
        _put(paths.command(command), msgspec.json.encode(said))
        return f"{command} requested"

    return work


def _put(path: Path, content: bytes) -> None:
    """Puts a command file there durably, dated to the nanosecond: the kernel's own stamps are too coarse to order
    requests that come in a row."""
    new = path.with_name(f".{path.name}.new")
    replace_durably(new, content)
    now_ns = time.time_ns()
    os.utime(new, ns=(now_ns, now_ns), follow_symlinks=False)
    new.rename(path)
    sync_folder(path.parent)


def _cloud_mode_active(paths: NodePaths) -> str:
    return str(tokens.count_cloud(paths))


def _start(request: web.Request, paths: NodePaths) -> FileWork:
    number, bu = _run(request), request.query.get("buname", "")
    if bu and not BU_NAME.fullmatch(bu):
        raise BadRequest("buname: letters, digits, dots and dashes wanted")

    def work() -> str:
        known = [name for name in look(paths).runs if (ref := parse_run(name)) and ref.number == number]
        if known:
            return f"run {number}: directory {known[0]} exists already, nothing made"
        name = f"{run_name(number)}_{bu}" if bu else run_name(number)
        (paths.watch_dir / name).mkdir()
        sync_folder(paths.watch_dir)
        return f"run {number}: directory {name} made"

    return work


def _stop(request: web.Request, paths: NodePaths) -> FileWork:
    number = _run(request)

    def work() -> str:
        with contextlib.suppress(FileExistsError):  # of whatever kind: its name says all that it says
            (paths.watch_dir / f"end{number}").touch(exist_ok=False)
        sync_folder(paths.watch_dir)
        return f"run {number}: end requested"

    return work


def _run_list(paths: NodePaths) -> str:
    return str(sorted({ref.number for ref in look(paths).runs.values()}))


def _run_active(paths: NodePaths) -> str:
    runs = look(paths).runs
    last = max(runs, key=lambda name: runs[name].number, default="")
    return str(int(bool(last) and (paths.watch_dir / last / "active").exists()))


def _run(request: web.Request) -> int:
    text = request.query.get("run", "")
    if not RUN_NUMBER.fullmatch(text) or not 0 < int(text) <= LARGEST_RUN:
        raise BadRequest(f"run: a run number from 1 to {LARGEST_RUN} wanted, not {text[:40]!r}")
    return int(text)
