"""The seven CGI URLs that old callers know (hltd contract: CGI). They only read facts or create files.

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
from contract.paths import parse_run, run_name
from contract.request import LONGEST_REASON, LONGEST_WHO, REQUEST_ID, BadRequest, printable
from switcher import tokens
from switcher.intake import CommandFile, look
from switcher.node import Switcher

FOLDER: Final = "/cgi-bin/"
BU_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
RUN_NUMBER: Final = re.compile(r"[0-9]{1,20}")
LARGEST_RUN: Final = 999_999_999

ACTING: Final = frozenset(f"{FOLDER}{name}_cgi.py" for name in ("exclude", "include", "start", "stop"))


def add_routes(application: web.Application, switcher: Switcher) -> None:
    """Adds the URLs under FOLDER."""
    answers: dict[str, Callable[[web.Request, Switcher], web.Response]] = {
        "exclude_cgi.py": lambda request, node: _command(request, node, "exclude"),
        "include_cgi.py": lambda request, node: _command(request, node, "include"),
        "cloud_mode_active_cgi.py": _cloud_mode_active,
        "start_cgi.py": _start,
        "stop_cgi.py": _stop,
        "runl_cgi.py": _run_list,
        "run_active_cgi.py": _run_active,
    }
    for name, answer in answers.items():
        application.router.add_get(f"{FOLDER}{name}", _answering(answer, switcher), allow_head=False)


def _answering(
    answer: Callable[[web.Request, Switcher], web.Response], switcher: Switcher
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return answer(request, switcher)
        except OSError as error:
            return web.Response(status=500, text=f"{error.filename}: {error.strerror}\n")

    return handle


def _page(text: str) -> web.Response:
    return web.Response(text=f"<html><body>{text}</body></html>\n", content_type="text/html")


def _command(request: web.Request, switcher: Switcher, command: str) -> web.Response:
    said = CommandFile(
        id=request.query.get("id", ""),
        who=printable(request.query.get("who", f"cgi {request.remote}"), LONGEST_WHO),
        reason=printable(request.query.get("reason", ""), LONGEST_REASON),
    )
    if said.id and not REQUEST_ID.fullmatch(said.id):
        raise BadRequest("id: 1 to 80 letters, digits or ._:@- wanted, a letter or digit first")
    _put(switcher.paths.command(command), msgspec.json.encode(said))
    switcher.poke()
    return _page(f"{command} requested")


def _put(path: Path, content: bytes) -> None:
    """Puts a command file there durably, dated to the nanosecond: the kernel's own stamps are too coarse to order
    requests that come in a row."""
    new = path.with_name(f".{path.name}.new")
    replace_durably(new, content)
    now_ns = time.time_ns()
    os.utime(new, ns=(now_ns, now_ns), follow_symlinks=False)
    new.rename(path)
    sync_folder(path.parent)


def _cloud_mode_active(_request: web.Request, switcher: Switcher) -> web.Response:
    return web.Response(text=f"{tokens.count_cloud(switcher.paths)}\n")


def _start(request: web.Request, switcher: Switcher) -> web.Response:
    number, bu = _run(request), request.query.get("buname", "")
    if bu and not BU_NAME.fullmatch(bu):
        raise BadRequest("buname: letters, digits, dots and dashes wanted")
    known = [name for name in look(switcher.paths).runs if (ref := parse_run(name)) and ref.number == number]
    if known:
        return _page(f"run {number}: directory {known[0]} exists already, nothing made")
    name = f"{run_name(number)}_{bu}" if bu else run_name(number)
    (switcher.paths.watch_dir / name).mkdir()
    sync_folder(switcher.paths.watch_dir)
    switcher.poke()
    return _page(f"run {number}: directory {name} made")


def _stop(request: web.Request, switcher: Switcher) -> web.Response:
    number = _run(request)
    with contextlib.suppress(FileExistsError):  # of whatever kind: its name says all that it says
        (switcher.paths.watch_dir / f"end{number}").touch(exist_ok=False)
    sync_folder(switcher.paths.watch_dir)
    switcher.poke()
    return _page(f"run {number}: end requested")


def _run_list(_request: web.Request, switcher: Switcher) -> web.Response:
    return web.Response(text=f"{sorted({ref.number for ref in look(switcher.paths).runs.values()})}\n")


def _run_active(_request: web.Request, switcher: Switcher) -> web.Response:
    runs = look(switcher.paths).runs
    last = max(runs, key=lambda name: runs[name].number, default="")
    active = bool(last) and (switcher.paths.watch_dir / last / "active").exists()
    return web.Response(text=f"{int(active)}\n")


def _run(request: web.Request) -> int:
    text = request.query.get("run", "")
    if not RUN_NUMBER.fullmatch(text) or not 0 < int(text) <= LARGEST_RUN:
        raise BadRequest(f"run: a run number from 1 to {LARGEST_RUN} wanted, not {text[:40]!r}")
    return int(text)
