"""The BU's stand-in as a process, with box files on its ramdisk and a real HTTP server for each filter unit."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from contract.box import Box, read_box, write_box
from contract.paths import BuPaths
from contract.times import hltd_date
from simulator.daemons import Daemon
from tests.integration.node import PATIENCE_S
from tests.ports import free_port

SAMPLES: Final = Path(__file__).parents[1] / "samples" / "boxes"
RUN: Final = 100


def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s, "did not come true in time"
        time.sleep(0.01)


class Unit(http.server.ThreadingHTTPServer):
    """A filter unit's HTTP server that remembers what it is asked."""

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Answer)
        self.paths: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Unit)
        self.server.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Farm:
    """A BU and its units on loopback addresses that share a free port."""

    def __init__(self, root: Path) -> None:
        self.paths = BuPaths(root / "ramdisk")
        self.paths.boxes.mkdir(parents=True)
        self.port = free_port()
        self.log = root / "bu.log"
        self.bu: Daemon | None = None
        self.units: list[Unit] = []

    def unit(self, address: str) -> Unit:
        unit = Unit(address, self.port)
        self.units.append(unit)
        return unit

    def box(self, host: str, address: str, sample: str = "fu-off-norun", **changes: Any) -> None:
        box = read_box(SAMPLES / f"{sample}.json")
        assert isinstance(box, Box)
        # Ahead of the clock: nobody writes it anew, however long the test takes.
        when_s = time.time() + 600
        date = hltd_date(when_s)
        path = self.paths.boxes / host
        write_box(path, msgspec.structs.replace(box, ip=address, fm_date=date, **changes))
        os.utime(path, (when_s, when_s))

    def start(self, *more: str) -> Daemon:
        options = ["--ramdisk", str(self.paths.ramdisk), "--port", str(self.port), "--lumisection-s", "0.2"]
        faster = ["--period-s", "0.1", "--box-poll-s", "0.02", "--notice-timeout-s", "30"]
        self.bu = Daemon("BU", ["simulate", "bu", *options, *faster, *more], self.log)
        self.bu.wait_ready()
        return self.bu

    def asked(self, lumisection: int) -> list[str]:
        path = self.paths.eols(RUN, lumisection)
        until(path.exists)
        asked: list[str] = json.loads(path.read_text())["asked"]
        return asked

    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.paths.summary.read_text())
        return summary

    def end(self) -> None:
        if self.bu is not None:
            self.bu.end()
        for unit in self.units:
            unit.close()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    made = Farm(tmp_path)
    yield made
    made.end()


def test_run_gets_lumisections_on_the_grid_and_its_end(farm: Farm) -> None:
    bu = farm.start()
    begin_s = time.monotonic()
    bu.tell("start 100")
    bu.wait_said("ok start 100")
    until(farm.paths.eols(RUN, 5).exists)
    assert time.monotonic() - begin_s > 0.8
    assert farm.paths.ongoing(RUN)
    bu.tell("stop 100")
    bu.wait_said("ok stop 100")
    until(lambda: f"ok stop 100 after lumisection {farm.paths.last_lumisection(RUN)}\n" in bu.said)
    assert not farm.paths.ongoing(RUN)
    assert [path.name for path in farm.paths.run_dir(RUN).glob("*_temp")] == []


def test_units_are_told_of_start_and_end_of_a_run(farm: Farm) -> None:
    working, in_cloud = farm.unit("127.0.0.1"), farm.unit("127.0.0.2")
    farm.box("fu-01", "127.0.0.1")
    farm.box("fu-02", "127.0.0.2", "fu-on-norun")
    bu = farm.start("--buname", "--host", "bu-x")
    bu.tell("start 100")
    until(lambda: bool(working.paths and in_cloud.paths))
    bu.tell("stop 100")
    until(lambda: len(working.paths) == len(in_cloud.paths) == 2)
    assert working.paths == in_cloud.paths
    assert working.paths == ["/cgi-bin/start_cgi.py?run=100&buname=bu-x", "/cgi-bin/stop_cgi.py?run=100"]
    bu.wait_said(f"notified: fu-01 (127.0.0.1:{farm.port}) of end of run 100: 200")


def test_several_runs_may_be_open_and_wrong_lines_are_answered(farm: Farm) -> None:
    bu = farm.start("--run", "99")
    bu.wait_said("ok start 99")
    bu.tell("start 100")
    bu.wait_said("ok start 100")
    until(lambda: farm.paths.eols(99, 2).exists() and farm.paths.eols(RUN, 1).exists())
    for line, answer in (
        ("start 100", "no start 100: "),
        ("stop 7", "no stop 7: no such run"),
        ("start -1", "no start -1: write start N"),
        ("dance", "no dance: write start N"),
        ("stop 99", "ok stop 99"),
    ):
        bu.tell(line)
        bu.wait_said(answer)
    assert not farm.paths.ongoing(99)
    assert farm.paths.ongoing(RUN)


def test_silent_unit_delays_neither_the_others_nor_lumisections(farm: Farm) -> None:
    answering = farm.unit("127.0.0.1")
    with socket.create_server(("127.0.0.2", farm.port)):
        farm.box("fu-01", "127.0.0.1")
        farm.box("fu-02", "127.0.0.2")
        farm.box("fu-03", "127.0.0.3")
        bu = farm.start("--notice-timeout-s", "4")
        bu.tell("start 100")
        until(lambda: len(answering.paths) == 1)
        until(farm.paths.eols(RUN, 2).exists)
        bu.wait_said(f"not notified: fu-03 (127.0.0.3:{farm.port}) of start of run 100: ")
        assert "fu-02" not in bu.said.partition("ok start")[2]
        bu.wait_said(f"not notified: fu-02 (127.0.0.2:{farm.port}) of start of run 100: no answer within 4 s")


def test_unit_off_this_machine_is_never_called(farm: Farm) -> None:
    farm.box("fu-01", "192.0.2.1")
    farm.box("fu-02", "nowhere")
    bu = farm.start("--run", "100")
    bu.wait_said("loopback addresses only")
    bu.wait_said("its box has no address")


def test_unit_that_comes_back_empty_handed_is_told_of_the_run_again(farm: Farm) -> None:
    empty_handed, rejoined = farm.unit("127.0.0.1"), farm.unit("127.0.0.2")
    farm.box("fu-01", "127.0.0.1", "fu-on-norun")
    farm.box("fu-02", "127.0.0.2", "fu-on-norun")
    bu = farm.start()
    bu.tell("start 100")
    until(lambda: len(empty_handed.paths) == len(rejoined.paths) == 1)
    farm.box("fu-01", "127.0.0.1", "fu-on-norun", cloudState="stopping")
    time.sleep(0.1)
    farm.box("fu-02", "127.0.0.2", "fu-off-run")
    farm.box("fu-01", "127.0.0.1")
    until(lambda: len(empty_handed.paths) == 2)
    time.sleep(0.2)
    assert empty_handed.paths == ["/cgi-bin/start_cgi.py?run=100"] * 2
    assert len(rejoined.paths) == 1


def test_masked_unit_is_asked_no_more_until_it_is_back(farm: Farm) -> None:
    farm.box("fu-01", "127.0.0.1", "fu-off-run")
    farm.box("fu-02", "127.0.0.2", "fu-off-run")
    bu = farm.start("--run", "100")
    assert farm.asked(1) == ["fu-01", "fu-02"]
    farm.box("fu-01", "127.0.0.1", "fu-starting-run")
    bu.wait_said("asks fu-01 no more")
    masked_in = farm.paths.last_lumisection(RUN) + 1
    assert farm.asked(masked_in + 1) == ["fu-02"]
    assert not farm.summary()["bu_stop_requests_flag"]
    farm.box("fu-02", "127.0.0.2", "fu-starting-run")
    until(lambda: bool(farm.summary()["bu_stop_requests_flag"]))
    assert farm.summary()["active_resources"] == 0
    farm.box("fu-01", "127.0.0.1", "fu-off-run")
    until(lambda: farm.summary()["active_resources"] == 4)
    assert farm.asked(farm.paths.last_lumisection(RUN) + 2) == ["fu-01"]


def test_boxes_that_are_old_wrong_or_half_written_are_handled_as_a_bu_does(farm: Farm) -> None:
    for host in ("fu-fresh", "fu-old", "fu-v4", "fu-half"):
        farm.box(host, "127.0.0.1", "fu-off-run")
    bu = farm.start()
    until(lambda: farm.summary()["used"] == 16)
    old = farm.paths.boxes / "fu-old"
    os.utime(old, (time.time() - 11, time.time() - 11))
    until(lambda: farm.summary()["used"] == 12)
    farm.box("fu-v4", "127.0.0.1", "fu-off-run", version=4)
    bu.wait_said("left out: fu-v4: box file of version 4")
    until(lambda: farm.summary()["used"] == 8)
    half = farm.paths.boxes / "fu-half"
    half.write_bytes(half.read_bytes()[:300])
    farm.box("fu-fresh", "127.0.0.1", "fu-off-run", used=3)
    until(lambda: farm.summary()["used"] == 7)
    until(lambda: farm.bu is not None and farm.bu.said.count("left out") == 1)


def test_bus_own_box_is_a_real_one_and_no_filter_unit(farm: Farm) -> None:
    farm.start("--host", "bu-x", "--run", "100")
    own = farm.paths.boxes / "bu-x"
    until(lambda: read_box(own).activeRuns == [RUN])
    content = json.loads((SAMPLES / "bu.json").read_text())
    assert list(msgspec.to_builtins(read_box(own))) == list(content)
    assert farm.summary()["resPerFU"] == 0


def test_quit_sigterm_and_a_closed_pipe_end_it_well(farm: Farm) -> None:
    bu = farm.start()
    bu.tell("quit")
    assert bu.process.wait(PATIENCE_S) == 0
    bu.end()
    bu = farm.start("--run", "100")
    bu.process.send_signal(signal.SIGTERM)
    assert bu.process.wait(PATIENCE_S) == 0
    assert farm.paths.ongoing(RUN)
    bu.end()
    bu = farm.start()
    assert bu.process.stdin is not None
    bu.process.stdin.close()
    assert bu.process.wait(PATIENCE_S) == 0
