"""The machine's own browser for tests of the page: real Chromium with a new and empty profile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page, Request, sync_playwright

from tests.servers.programs import BROWSER, program

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Tab:
    """One page of the browser and what went wrong in it: errors, and requests to others than `url`."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page = context.pages[0] if context.pages else context.new_page()
        self.url = url
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", self._error)
        self.page.on("request", self._request)

    def open(self) -> Page:
        self.page.goto(self.url)
        self.page.locator("#grid .cell[data-mode=HLT]").first.wait_for()
        return self.page

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _error(self, error: Error) -> None:
        self.errors.append(str(error))

    def _request(self, request: Request) -> None:
        (self.asked if request.url.startswith(f"{self.url}/") else self.outside).append(request.url)


@contextmanager
def browsing(url: str, *, width: int = 1600, height: int = 1000, dark: bool = False) -> Iterator[Tab]:
    """Yields a tab for `url`; the browser is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="hltmode-browser-") as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=program(BROWSER),
            args=list(FLAGS),
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
        )
        try:
            yield Tab(context, url)
        finally:
            context.close()
