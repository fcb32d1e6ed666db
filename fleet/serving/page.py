"""The files of the page, read once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web

FOLDER: Final = Path(__file__).parents[1] / "page"
FIRST: Final = "index.html"
TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Page:
    """What lies in the folder `page`, and nothing else."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in TYPES}

    async def first(self, request: web.Request) -> web.Response:
        """Returns the page itself."""
        return self._file(request, FIRST)

    async def file(self, request: web.Request) -> web.Response:
        """Returns one of its files."""
        return self._file(request, request.match_info["name"])

    def _file(self, request: web.Request, name: str) -> web.Response:
        content = self._files.get(name)
        if content is None:
            raise web.HTTPNotFound
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=content, content_type=TYPES[Path(name).suffix], charset="utf-8", headers=headers)
