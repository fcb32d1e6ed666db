"""`hltmode mode`: the mode of this node from its mode file alone; needs no daemon.

Printing and waiting import nothing beyond the contract until they have to wait.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

import click

from contract.config import load
from contract.errors import Surroundings, TimedOut, Unreadable
from contract.modefile import read_mode
from contract.modes import Mode
from contract.times import iso

# A textfile is written anew this often, so that its age shows whether anybody keeps it.
TEXTFILE_EVERY_S: Final = 15.0


class News(Enum):
    """What ends a wait before its time."""

    LOOK = auto()
    END = auto()


class Reading(NamedTuple):
    """What one look at the mode file found: a mode and when it was written (Unix seconds), or why there is none."""

    mode: Mode | None
    since_s: float
    trouble: str = ""


@click.command(
    epilog="Examples: hltmode mode; hltmode mode --wait cloud --timeout 300 && start-work; hltmode mode --follow "
    "--json; hltmode mode --textfile /var/lib/node_exporter/hltmode.prom. Exit codes: 0 printed, reached or ended by "
    "a signal, 1 no legible mode file, 2 wrong usage, 3 configuration, 5 the textfile's folder is not to be had, "
    "6 not reached in time."
)
@click.option("--file", "file", type=click.Path(path_type=Path), help="The mode file; else that of the configuration.")
@click.option("--config", "config", type=click.Path(path_type=Path), help="The node's TOML file; without it, defaults.")
@click.option("--wait", type=click.Choice([mode.value for mode in Mode], case_sensitive=False), help="Until this mode.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), help="Seconds to wait at most; else for ever.")
@click.option("--follow", is_flag=True, help="Print the mode, then every change with its time, until a signal.")
@click.option("--textfile", type=click.Path(path_type=Path), help="Keep this textfile of node_exporter until a signal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def mode(
    *,
    file: Path | None,
    config: Path | None,
    wait: str | None,
    timeout_s: float | None,
    follow: bool,
    textfile: Path | None,
    as_json: bool,
) -> None:
    """Print the mode of this node: HLT, activatingCloud, cloud or deactivatingCloud.

    With --wait, --follow and --textfile a mode file or folder that is missing is waited for.
    """
    if sum((wait is not None, follow, textfile is not None)) > 1:
        raise click.UsageError("--wait, --follow and --textfile exclude one another")
    if timeout_s is not None and wait is None:
        raise click.UsageError("--timeout goes with --wait")
    path = (file or load(config).paths.mode).absolute()
    if wait is not None:
        _wait(path, Mode(wait), timeout_s, as_json=as_json)
    elif follow:
        _follow(path, as_json=as_json)
    elif textfile is not None:
        _keep_textfile(path, textfile.absolute())
    else:
        found = _look(path)
        if found.mode is None:
            raise Unreadable(found.trouble)
        _say(found.mode, found.since_s, as_json=as_json)


def _wait(path: Path, wanted: Mode, timeout_s: float | None, *, as_json: bool) -> None:
    last = Reading(None, 0.0)
    for last in _changes(path, timeout_s):
        if last.mode is wanted:
            _say(wanted, last.since_s, as_json=as_json)
            return
    now = f"in {last.mode.value}" if last.mode else "no legible mode"
    raise TimedOut(f"{path}: not in {wanted.value} within {timeout_s:g} s, but {now}")


def _follow(path: Path, *, as_json: bool) -> None:
    shown: Mode | None = None
    with _ended_by_signal() as news:
        for found in _changes(path, None, news):
            if found.mode is not None and found.mode is not shown:
                shown = found.mode
                _say(shown, found.since_s, as_json=as_json, dated=True)


def _keep_textfile(path: Path, textfile: Path) -> None:
    with _ended_by_signal() as news:
        _write_textfile(textfile, _look(path))
        try:
            for found in _changes(path, None, news, every_s=TEXTFILE_EVERY_S):
                try:
                    _write_textfile(textfile, found)
                except Surroundings as error:
                    click.echo(f"hltmode: {error}", err=True)
        finally:
            # A mode that nobody keeps up would be scraped as true for ever.
            textfile.unlink(missing_ok=True)


def _changes(
    path: Path, timeout_s: float | None, news: queue.SimpleQueue[News] | None = None, every_s: float | None = None
) -> Iterator[Reading]:
    """Yields what is found now, then at every change and every `every_s`, until `timeout_s` or News.END.

    Says on stderr when there is nothing to read, and when there is again.
    """
    from collector.sources.watching import FileWatch  # noqa: PLC0415 - printing the mode needs no watching

    news = news or queue.SimpleQueue()
    watch = FileWatch(path, lambda: news.put(News.LOOK))
    end_s = time.monotonic() + timeout_s if timeout_s is not None else None
    last: Reading | None = None
    again_s = 0.0
    try:
        while True:
            watch.renew()
            found = _look(path)
            if found != last or (every_s is not None and time.monotonic() >= again_s):
                _say_trouble(path, last, found)
                last = found
                again_s = time.monotonic() + (every_s or 0.0)
                yield found
            left_s = watch.look_s if end_s is None else min(watch.look_s, end_s - time.monotonic())
            if left_s <= 0 or _next(news, left_s) is News.END:
                return
    finally:
        watch.stop()


def _next(news: queue.SimpleQueue[News], timeout_s: float) -> News:
    try:
        return news.get(timeout=timeout_s)
    except queue.Empty:
        return News.LOOK


def _look(path: Path) -> Reading:
    try:
        return Reading(read_mode(path), path.stat().st_mtime)
    except Unreadable as error:
        return Reading(None, 0.0, str(error))
    except OSError as error:
        return Reading(None, 0.0, f"{path}: no mode to read ({error.strerror}); is the switcher running here?")


def _say(found: Mode, since_s: float, *, as_json: bool, dated: bool = False) -> None:
    """Prints one line and flushes it."""
    if as_json:
        click.echo(json.dumps({"mode": found.value, "since": iso(since_s)}))
    else:
        click.echo(f"{iso(since_s)} {found.value}" if dated else found.value)


def _say_trouble(path: Path, last: Reading | None, found: Reading) -> None:
    if found.trouble and (last is None or last.trouble != found.trouble):
        click.echo(f"hltmode: {found.trouble} Waiting.", err=True)
    elif last is not None and last.trouble and not found.trouble:
        click.echo(f"hltmode: {path}: legible again", err=True)


@contextmanager
def _ended_by_signal() -> Iterator[queue.SimpleQueue[News]]:
    """Yields a queue into which SIGTERM and SIGINT put News.END."""
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    before = {
        number: signal.signal(number, lambda _number, _frame: news.put(News.END))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield news
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_textfile(textfile: Path, found: Reading) -> None:
    """Puts the series at `textfile` as a whole, legible for all. Raises Surroundings."""
    content = _series(found)
    temporary = textfile.with_name(f".{textfile.name}.tmp")  # not *.prom: node_exporter must not read it
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask
            file.write(content)
        temporary.rename(textfile)
    except OSError as error:
        raise Surroundings(f"{textfile}: cannot be written ({error.strerror}); make its folder writable") from error


def _series(found: Reading) -> bytes:
    """Returns the series of /metrics that concern the mode, in Prometheus's text form."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
    from prometheus_client.metrics_core import Metric  # noqa: PLC0415
    from prometheus_client.registry import Collector  # noqa: PLC0415

    from collector.mode_series import ModeRow, mode_series  # noqa: PLC0415

    class Found(Collector):
        def collect(self) -> Iterator[Metric]:
            return mode_series([], [ModeRow([], found.mode, found.since_s)])

    registry = CollectorRegistry()
    registry.register(Found())
    return generate_latest(registry)
