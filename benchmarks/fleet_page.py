"""What the fleet tool's server and its page cost for 1500 nodes: at rest, and while all of them switch.

`python -m benchmarks.fleet_page` starts a simulated farm, the server and a real browser on the page, and has the whole
farm leave for the cloud. Frames are timed in the page. Farm, server and browser share the machine.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

import click
from playwright.sync_api import Page

from benchmarks.figures import Figure, finish, new_console
from benchmarks.processes import cpu_s, resident_mib
from tests.e2e.browsing import browsing
from tests.integration.served_farm import BEARER, ServedFarm

EVERY_S: Final = 5.0
SLOW_FRAME_MS: Final = 50.0
WATCH: Final = """() => {
  const seen = window.seen = { frames: [], long: [] };
  new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "longtask" });
  let last = performance.now();
  const frame = (now) => { seen.frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
SEEN: Final = "() => window.seen"


@click.command()
@click.option("--nodes", type=click.IntRange(1, 5000), default=1500, show_default=True)
@click.option("--rest", "rest_s", type=click.FloatRange(1.0), default=60.0, show_default=True, help="Seconds at rest.")
@click.option("--speed", default=3.0, show_default=True, help="How much faster time passes in the farm.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write a picture of the page in mid-switch there.")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def main(nodes: int, rest_s: float, speed: float, picture: Path | None, as_json: bool) -> None:
    """Measure the server and the page."""
    console = new_console(as_json=as_json)
    with tempfile.TemporaryDirectory(prefix="hltmode-fleet-page-") as folder:
        farm = ServedFarm(Path(folder), nodes=nodes, first="127.95.0.1", faults="slow=3%,dead=4,hangs=2,old=1%",
                          speed=str(speed))  # fmt: skip
        try:
            server = farm.start("--every", str(EVERY_S))
            figures = _alone(server.pid, rest_s)
            console.print("at rest: measured; now the page is open")
            with browsing(farm.url) as tab:
                page = tab.open()
                page.evaluate(WATCH)
                figures += _resting(page, server.pid, rest_s)
                figures += _switching(page, farm, server.pid, picture)
                figures.append(Figure("errors in the page", 0, len(tab.errors), "", "; ".join(tab.errors)[:100]))
        finally:
            farm.clean()
    finish(console, figures, as_json=as_json)


def _alone(pid: int, rest_s: float) -> list[Figure]:
    time.sleep(2 * EVERY_S)
    before_s = cpu_s(pid)
    time.sleep(rest_s)
    share = 100.0 * (cpu_s(pid) - before_s) / rest_s
    return [
        Figure("CPU of the server at rest, nobody looks", None, share, "% of a core", f"a look every {EVERY_S:g} s")
    ]


def _resting(page: Page, pid: int, rest_s: float) -> list[Figure]:
    before_s = cpu_s(pid)
    time.sleep(rest_s)
    share = 100.0 * (cpu_s(pid) - before_s) / rest_s
    return [
        Figure("CPU of the server at rest, one page open", None, share, "% of a core"),
        *_frames(page, "at rest"),
    ]


def _switching(page: Page, farm: ServedFarm, pid: int, picture: Path | None) -> list[Figure]:
    page.evaluate("() => { window.seen.frames.length = window.seen.long.length = 0; }")
    before_s, began_s = cpu_s(pid), time.monotonic()
    order = {"to": "cloud", "appliances": sorted({node["appliance"] for node in farm.get("/farm")["nodes"]})}
    more = {"ramp": "50%,100%", "stop_share": 1, "who": "benchmark", "reason": "gap", "limit_s": 60}
    status, begun = farm.post("/operations", order | more)
    assert status == 201, begun
    peak_mib, longest_s = 0.0, 0.0
    pictured = picture is None
    while "verdict" not in farm.operation(begun["id"]):
        asked_s = time.monotonic()
        counts = farm.counts()
        longest_s = max(longest_s, time.monotonic() - asked_s)
        peak_mib = max(peak_mib, resident_mib(pid))
        if not pictured and min(counts["HLT"], counts["activatingCloud"], counts["cloud"]) > len(farm.hosts) / 6:
            _take(page, picture)
            pictured = True
        page.wait_for_timeout(1000)
    took_s = time.monotonic() - began_s
    share = 100.0 * (cpu_s(pid) - before_s) / took_s
    return [
        Figure("all nodes switch in", None, took_s, "s", str(farm.operation(begun["id"])["counts"])),
        Figure("CPU of the server meanwhile", None, share, "% of a core"),
        Figure("memory of the server", None, peak_mib, "MiB", "resident, at most"),
        Figure("slowest answer of GET /farm", None, longest_s, "s", "asked every second"),
        *_frames(page, "while all switch"),
    ]


def _take(page: Page, picture: Path | None) -> None:
    """Takes a picture as an operator sees the page."""
    page.get_by_role("button", name="Operate …").click()
    page.get_by_label("Token").fill(BEARER)
    page.get_by_label("Your name").fill("Anna")
    page.get_by_role("button", name="Operate", exact=True).click()
    page.locator("#tools").wait_for()
    page.screenshot(path=picture)


def _frames(page: Page, when: str) -> list[Figure]:
    seen: dict[str, Any] = page.evaluate(SEEN)
    frames = sorted(seen["frames"])
    slow = sum(frame > SLOW_FRAME_MS for frame in frames)
    return [
        Figure(f"frame {when}, p99", None, frames[int(0.99 * (len(frames) - 1))], "ms", f"{len(frames)} frames"),
        Figure(f"frame {when}, longest", None, frames[-1], "ms", f"{slow} over {SLOW_FRAME_MS:g} ms"),
        Figure(f"long tasks {when}", None, len(seen["long"]), "", f"the longest {max(seen['long'], default=0):.0f} ms"),
    ]


if __name__ == "__main__":
    main()
