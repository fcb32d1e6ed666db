"""The collector as a process, beside a real folder of a node: what it keeps, shows and survives."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import socket
import sqlite3
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from collector.documents import BOX, SWITCHOVER
from contract import metric_names as names
from contract.box import write_box
from contract.journal import Journal, RequestRecord
from contract.metric_names import MODE
from contract.modefile import write_mode
from contract.modes import Mode, Wanted
from contract.times import hltd_date, iso
from simulator.daemons import Daemon
from simulator.node_files import lay_out
from tests.integration import mounts
from tests.integration.node import PATIENCE_S, wait_for
from tests.unit.test_collector_facts import NOW_S, ended, make_box, move

NO_DISK = mounts.why_none()
RARELY = "collector.interval_s=600"
OFTEN = "collector.interval_s=0.1"


class Collector:
    """A node's folders without a switcher, and the collector that serves it."""

    def __init__(self, root: Path) -> None:
        self.files = lay_out(root, "fu-1", metrics_port=0)
        self.paths = self.files.paths
        self.daemons: list[Daemon] = []

    def start(self, *sets: str, ready: bool = True) -> Daemon:
        flags = [word for each in sets for word in ("--set", each)]
        arguments = ["collector", "run", "--config", str(self.files.config), *flags]
        log = self.paths.state_dir.parent / f"collector-{len(self.daemons)}.log"
        daemon = Daemon("collector", arguments, log)
        self.daemons.append(daemon)
        if ready:
            daemon.wait_ready()
        return daemon

    @property
    def said(self) -> str:
        return self.daemons[-1].said

    def clean(self) -> None:
        for daemon in self.daemons:
            daemon.process.kill()
            daemon.end()

    def box(self, **fields: object) -> None:
        write_box(self.paths.box, make_box(**({"fm_date": hltd_date(time.time())} | fields)))  # type: ignore[arg-type]

    def documents(self, kind: str = BOX) -> list[dict[str, object]]:
        """Returns what the log holds of `kind`, oldest first."""
        if not self.paths.log.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.paths.log}?mode=ro", uri=True, timeout=5)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'documents'").fetchall():
                return []  # it is about to be made
            found = connection.execute("SELECT body FROM documents WHERE kind = ? ORDER BY number", (kind,)).fetchall()
        return [json.loads(body) for (body,) in found]

    def modes(self) -> list[object]:
        return [document.get("mode") for document in self.documents()]

    def scrape(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Returns the value of each series: by name, then by its labels other than host and appliance."""
        port = re.search(r"ready: http://127\.0\.0\.1:(\d+)/metrics", self.said)
        assert port, self.said
        with urllib.request.urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                assert (sample.labels.pop("host"), sample.labels.pop("appliance")) == ("fu-1", "bu-sim01")
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.values()))] = sample.value
        return found

    def shows(self, mode: Mode) -> bool:
        return self.gauge(MODE, mode.value) == 1.0

    def gauge(self, name: str, *labels: str) -> float | None:
        return self.scrape().get(name, {}).get(labels)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Collector]:
    node = Collector(tmp_path)
    yield node
    node.clean()


@pytest.fixture
def journal(node: Collector) -> Iterator[Journal]:
    journal = Journal(node.paths.journal)
    yield journal
    journal.close()


def test_a_change_of_the_mode_is_kept_and_shown_without_waiting_for_the_next_sample(node: Collector) -> None:
    write_mode(node.paths.mode, Mode.HLT)
    node.box(mode="HLT")
    node.start(RARELY)
    for mode in (Mode.ACTIVATING_CLOUD, Mode.CLOUD, Mode.DEACTIVATING_CLOUD):
        write_mode(node.paths.mode, mode)
        wait_for(f"{mode} is shown", partial(node.shows, mode))
    assert node.modes() == ["HLT", "activatingCloud", "cloud", "deactivatingCloud"]
    assert sum(node.scrape()[MODE].values()) == 1.0


def test_samples_come_on_the_grid_and_carry_the_box_the_mode_and_the_node(node: Collector) -> None:
    write_mode(node.paths.mode, Mode.HLT)
    node.box(idles=3, mode="HLT")
    node.start("collector.interval_s=0.5")
    wait_for("a dozen samples", lambda: len(node.documents()) > 12)
    newest = node.documents()[-1]
    wanted = {"idles": 3, "cloudState": "off", "mode": "HLT", "host": "fu-1", "appliance": "bu-sim01",
              "subsystem": "cdaq"}  # fmt: skip
    assert {name: newest[name] for name in wanted} == wanted
    times = [float(str(document["@timestamp"])[17:-1]) for document in node.documents()[1:]]
    # On a busy machine many are late, but not all.
    assert sorted(second % 0.5 for second in times)[len(times) // 4] < 0.1, times


def test_a_switch_is_kept_soon_after_its_end_and_counted_by_phase(node: Collector, journal: Journal) -> None:
    node.start(RARELY)
    record = msgspec.structs.replace(ended(2, 12), who="shift", phases={"check": 0.5, "drain": 11.5})
    journal.append([move(1, Mode.HLT, Mode.CLOUD, 10), record])
    wait_for("the switch is kept", lambda: len(node.documents(SWITCHOVER)) == 1)
    kept = node.documents(SWITCHOVER)[0]
    assert (kept["who"], kept["outcome"], kept["phases"]) == ("shift", "done", {"check": 0.5, "drain": 11.5})
    wait_for("the switch is counted", lambda: node.gauge(f"{names.SWITCH_PHASE}_sum", "cloud", "drain") == 11.5)


def test_every_switch_is_kept_exactly_once_however_often_the_collector_is_killed(
    node: Collector, journal: Journal
) -> None:
    dice = random.Random()
    seq = 0
    switches: list[int] = []
    for life in range(7):
        daemon = node.start("collector.interval_s=0.01", ready=False)
        end_s = time.monotonic() + dice.uniform(0.35, 0.9)
        # Every other one has kept something when it is killed, however slowly it starts; the rest die when they may.
        kept = len(node.documents(SWITCHOVER)) if life % 2 else None
        while time.monotonic() < end_s or len(node.documents(SWITCHOVER)) == kept:
            for _ in range(dice.randint(1, 4)):
                seq += 1
                if dice.random() < 0.3:
                    asked = RequestRecord(seq=seq, time=iso(NOW_S), id=f"r{seq}", to=Wanted.HLT, who="", reason="",
                                          verdict="already")  # fmt: skip
                    journal.append([asked])
                else:
                    journal.append([ended(seq, 1, f"r{seq}")])
                    switches.append(seq)
            time.sleep(dice.uniform(0, 0.01))
        daemon.kill()
    node.start("collector.interval_s=0.01")
    wait_for("all are kept", lambda: len(node.documents(SWITCHOVER)) >= len(switches))
    assert [document["journal_seq"] for document in node.documents(SWITCHOVER)] == switches
    wait_for("all are counted, once", lambda: node.gauge(names.MADE_TOTAL, SWITCHOVER) == len(switches))


def test_beside_unmodified_hltd_the_mode_follows_from_its_box(node: Collector) -> None:
    def hltd_writes(cloud_state: str) -> None:
        fields = msgspec.to_builtins(make_box(cloud_state, fm_date=hltd_date(time.time())))
        ours = ("mode", "mode_since", "switch_id", "vms", "blocker", "stuck")
        node.paths.box.write_text(json.dumps({name: fields[name] for name in fields if name not in ours}))

    hltd_writes("off")
    node.start(OFTEN)
    wait_for("the first mode", lambda: node.modes()[-1] == "HLT")
    hltd_writes("starting")
    wait_for("the mode is derived", lambda: node.modes()[-1] == "activatingCloud")
    wait_for("and shown", partial(node.shows, Mode.ACTIVATING_CLOUD))
    assert names.VMS not in node.scrape()


def test_a_restart_does_not_make_the_mode_younger(node: Collector) -> None:
    node.box(cloud_state="on")
    first = node.start(OFTEN)
    wait_for("the mode", lambda: node.modes()[-1] == "cloud")
    first.kill()
    before = node.documents()
    node.start(OFTEN)
    wait_for("the mode again", lambda: len(node.documents()) > len(before) and node.modes()[-1] == "cloud")
    assert {document["mode_since"] for document in node.documents() if document.get("mode")} == {
        before[-1]["mode_since"]
    }


@pytest.mark.skipif(bool(NO_DISK), reason=NO_DISK)
def test_a_box_that_hangs_stops_neither_samples_nor_changes_of_the_mode(node: Collector) -> None:
    write_mode(node.paths.mode, Mode.HLT)
    node.box(idles=3)
    node.start(OFTEN, "switch.mount_timeout_s=0.3")
    wait_for("the box is read", lambda: node.documents()[-1].get("idles") == 3)
    with mounts.dead(node.paths.box.parent):
        wait_for("the box is old", lambda: node.documents()[-1]["box_old"])
        before = len(node.documents())
        wait_for("samples go on", lambda: len(node.documents()) > before + 5)
        assert node.documents()[-1]["idles"] == 3
        write_mode(node.paths.mode, Mode.CLOUD)
        wait_for("the mode is seen", lambda: node.modes()[-1] == "cloud")
        assert "no answer within 0.3 s" in node.said
    node.box(idles=2)
    wait_for("the box is read again", lambda: node.documents()[-1]["idles"] == 2)
    assert node.documents()[-1]["box_old"] is False


def test_a_damaged_log_is_moved_aside_and_the_switches_are_kept_anew(node: Collector, journal: Journal) -> None:
    journal.append([ended(1, 1), ended(2, 2)])
    node.paths.log.write_bytes(b"no database" * 1000)
    node.start(OFTEN)
    wait_for("the switches", lambda: len(node.documents(SWITCHOVER)) == 2)
    assert [document["journal_seq"] for document in node.documents(SWITCHOVER)] == [1, 2]
    assert "moved to telemetry.sqlite.damaged" in node.said


def test_a_damaged_page_under_a_backlog_takes_away_only_what_was_in_it(node: Collector) -> None:
    node.box(idles=3)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with node.files.config.open("a") as config:
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            config.write(f'\n[[sink]]\nname = "main"\nkind = "opensearch"\nhosts = ["{address}"]\n')
        daemon = node.start(OFTEN)
        wait_for("a backlog", lambda: len(node.documents()) > 25)
        daemon.end()
        made = len(node.documents())
        content = bytearray(node.paths.log.read_bytes())
        at = content.rindex(b"hltmode-box-") // 4096 * 4096
        content[at : at + 64] = bytes(64)
        node.paths.log.write_bytes(content)
        node.start(OFTEN)
        wait_for("it is made anew", lambda: (node.gauge(names.DROPPED_TOTAL, BOX, "damaged") or 0) > 0)
        assert node.gauge(names.LOG_UP) == 1.0
        lost = node.gauge(names.DROPPED_TOTAL, BOX, "damaged") or 0
        assert lost < 20
        assert (node.gauge(names.MADE_TOTAL, BOX) or 0) >= made
        wait_for("the backlog", lambda: (node.gauge(names.SINK_BACKLOG, "main") or 0) > made - lost)
        assert node.gauge(names.SINK_DROPPED, "main") == lost
    assert f"{made - int(lost)} documents could be read, {int(lost)} are lost" in node.said


def test_a_full_disk_stops_neither_samples_nor_metrics_and_is_over_when_there_is_room(
    node: Collector, journal: Journal
) -> None:
    write_mode(node.paths.mode, Mode.HLT)
    daemon = node.start(OFTEN)
    assert node.gauge(names.LOG_UP) == 1.0
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    wait_for("the log is down", lambda: node.gauge(names.LOG_UP) == 0.0)
    write_mode(node.paths.mode, Mode.CLOUD)
    journal.append([ended(1, 1)])
    wait_for("the mode is shown", lambda: node.gauge(MODE, "cloud") == 1.0)
    wait_for("losses are counted", lambda: (node.gauge(names.DROPPED_TOTAL, BOX, "unwritten") or 0) > 3)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)
    wait_for("the log is up", lambda: node.gauge(names.LOG_UP) == 1.0)
    assert "written again" in node.said
    assert len(node.documents(SWITCHOVER)) == 1
    daemon.end()
    with closing(sqlite3.connect(node.paths.log)) as connection:
        counts = dict(connection.execute("SELECT what, n FROM counts WHERE kind = 'box'").fetchall())
    assert counts["made"] == counts["unwritten"] + len(node.documents())


def test_a_watch_folder_that_goes_and_comes_back_is_followed(node: Collector) -> None:
    write_mode(node.paths.mode, Mode.HLT)
    node.start(RARELY)
    node.paths.watch_dir.rename(node.paths.watch_dir.with_name("gone"))
    wait_for("the mode is unknown", lambda: sum(node.scrape()[MODE].values()) == 0.0)
    node.paths.watch_dir.mkdir()
    write_mode(node.paths.mode, Mode.CLOUD)
    wait_for("the mode is seen", lambda: node.gauge(MODE, "cloud") == 1.0)


def test_sigterm_ends_it_with_0_and_leaves_one_whole_file(node: Collector) -> None:
    daemon = node.start(OFTEN)
    assert daemon.end() == 0
    assert "ended" in node.said
    assert not node.paths.log.with_name("telemetry.sqlite-wal").exists()
    assert node.documents()


def test_sighup_takes_over_the_interval_and_names_what_takes_a_restart(node: Collector) -> None:
    daemon = node.start()
    text = node.files.config.read_text()
    changed = text.replace("[collector]", "[collector]\ninterval_s = 0.1").replace("bu-sim01", "bu-other")
    node.files.config.write_text(changed)
    before = len(node.documents())
    os.kill(daemon.pid, signal.SIGHUP)
    wait_for("samples come faster", lambda: len(node.documents()) > before + 5)
    assert "configuration read again" in node.said
    assert "take a restart" in node.said
    assert node.documents()[-1]["appliance"] == "bu-sim01"
    node.files.config.write_text("[collector]\ninterval = 1\n")
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_said("configuration not taken over")
    before = len(node.documents())
    wait_for("samples go on", lambda: len(node.documents()) > before + 3)


@pytest.mark.parametrize(
    ("code", "words", "sets"),
    [
        (3, "collector.interval_s", lambda _port: ["collector.interval_s=-1"]),
        (5, "set collector.metrics_bind and collector.metrics_port", lambda port: [f"collector.metrics_port={port}"]),
        (5, "set node.state_dir", lambda _port: ["node.state_dir=/proc/none"]),
    ],
)
def test_what_a_person_can_cause_is_one_line_and_an_exit_code(
    node: Collector, code: int, words: str, sets: Callable[[int], list[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        daemon = node.start(*sets(taken.getsockname()[1]), ready=False)
        assert daemon.process.wait(PATIENCE_S) == code, daemon.said
    assert words in daemon.said
    assert daemon.said.count("\n") == 1


def test_a_second_collector_of_the_same_node_is_turned_away(node: Collector) -> None:
    first = node.start(RARELY)
    second = node.start(RARELY, ready=False)
    assert second.process.wait(PATIENCE_S) == 4, second.said
    assert f"pid {first.pid}" in second.said
    assert first.process.poll() is None
