"""The follower as a real process over a farm of forty nodes: a beam file changes, and the nodes go and come back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract.beam import BeamMode
from contract.metric_names import BEAM_MODE, FOLLOW_HELD, FOLLOW_NODES, FOLLOW_WARNING
from fleet.follow.record import Entry, Now, Record
from fleet.operation import Operation
from fleet.rollout import Verdict
from fleet.store import Store
from simulator.daemons import Daemon
from tests.integration import node

NODES, KEEP = 40, 10
WHO = "fleet-follow"
POLICY = """
look_every_s = 0.5
[beam]
file = "{beam}"
every_s = 0.1
timeout_s = 1
patience_s = {patience_s}
[turns]
between_s = 0
again_s = 1
[to_cloud]
ramp = {ramp}
pause_s = {pause_s}
[metrics]
bind = "127.0.0.1"
port = 0
[[rule]]
name = "gap"
modes = ["RAMP DOWN", "NO BEAM"]
want = "cloud"
after_s = 0.5
keep = 10
"""

FIVE_FIRST = {"ramp": '["5", "100%"]', "pause_s": 600.0}
WITHIN_S = 60.0

# One farm serves all tests of this file, one after the other; each leaves it in HLT.
pytestmark = pytest.mark.xdist_group("follow")


def wait_for(what: str, met: Callable[[], object]) -> None:
    node.wait_for(what, met, WITHIN_S)


class Farm:
    """The simulated farm, and what really happened to its nodes."""

    def __init__(self, root: Path) -> None:
        self.file = root / "hosts.txt"
        words = ["--nodes", str(NODES), "--first", "127.77.0.1", "--port", "0", "--control", "0", "--speed", "100"]
        self.daemon = Daemon("farm", ["simulate", "farm", *words, "--hosts", str(self.file)], root / "farm.log")
        self.daemon.wait_ready()
        self._control = self.daemon.said.split()[-1]

    def truth(self) -> dict[str, Any]:
        with urllib.request.urlopen(self._control, timeout=10) as answer:
            truth: dict[str, Any] = json.load(answer)
        return truth

    def modes(self) -> Counter[str]:
        return Counter(told["mode"] for told in self.truth().values())

    def in_mode(self, mode: str) -> set[str]:
        return {host for host, told in self.truth().items() if told["mode"] == mode}

    def rests_in_hlt(self) -> bool:
        return self.modes() == {"HLT": NODES}


class Followed:
    """A policy, a beam file, a store, and the follower over a farm."""

    def __init__(
        self, farm: Farm, root: Path, *, patience_s: float = 60.0, ramp: str = '["100%"]', pause_s: float = 0.0
    ) -> None:
        self.farm = farm
        self.beam = root / "beam"
        self.path = root / "policy.toml"
        self.path.write_text(POLICY.format(beam=self.beam, patience_s=patience_s, ramp=ramp, pause_s=pause_s))
        self.store_path = root / "fleet.sqlite"
        self.nodes_file = root / "nodes.txt"
        self.nodes_file.write_text(farm.file.read_text())
        self._files = ["--store", str(self.store_path), "--nodes", str(self.nodes_file)]
        self._log = root / "follow.log"
        self.says("STABLE BEAMS")
        self.start()

    def dry(self) -> Daemon:
        """Returns a second follower that only says what it would do, when it has heard the beam."""
        words = ["fleet", "follow", "--dry-run", "--policy", str(self.path), *self._files]
        made = Daemon("dry follower", words, self._log.with_name("dry.log"))
        made.wait_said("no rule names it")
        return made

    def says(self, mode: str) -> None:
        new = self.beam.with_suffix(".new")
        new.write_text(f"{mode}\n")
        new.rename(self.beam)

    def start(self) -> None:
        self.daemon = Daemon("follower", ["fleet", "follow", "--policy", str(self.path), *self._files], self._log)
        self.daemon.wait_ready()
        wait_for("a first look", lambda: self.metrics().get((FOLLOW_NODES, "HLT")) is not None)

    def reads(self, policy: str, answer: str) -> None:
        """Has the follower read another policy, and waits for what it says of it."""
        self.path.write_text(policy)
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.wait_said(answer)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hltmode", "fleet", *words, *self._files]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    def entries(self, *kinds: str) -> list[Entry]:
        with closing(Store(self.store_path)) as store:
            return [entry for entry in Record(store).entries() if entry.kind in kinds or not kinds]

    def operations(self, who: str = WHO) -> list[Operation]:
        with closing(Store(self.store_path)) as store:
            return [each for each in store.operations() if each.who == who]

    def now(self) -> Now:
        with closing(Store(self.store_path)) as store:
            return Record(store).kept(Now) or Now(at_s=0.0, pid=0, policy="", beam="", wanted="", words="")

    def metrics(self) -> dict[tuple[str, str], float]:
        """Returns each sample by its name and the value of its only label."""
        url = next(word for word in self.daemon.said.split() if word.startswith("http://"))
        with urllib.request.urlopen(url, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        return {(sample.name, next(iter(sample.labels.values()), "")): sample.value for sample in samples}

    def comes_home(self) -> None:
        self.says("SETUP")
        wait_for("the farm in HLT", self.farm.rests_in_hlt)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    made = Farm(tmp_path_factory.mktemp("farm"))
    yield made
    assert made.daemon.end() == 0


@pytest.fixture
def followed(farm: Farm, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Followed]:
    made = Followed(farm, tmp_path, **getattr(request, "param", {}))
    try:
        yield made
        made.comes_home()
        assert made.daemon.end() == 0, made.daemon.said
        assert "Traceback" not in made.daemon.said
    finally:
        made.daemon.end()


def test_a_gap_with_a_kill_in_the_middle_is_one_operation_there_and_one_back(followed: Followed) -> None:
    farm = followed.farm
    followed.says("NO BEAM")
    wait_for("nodes on their way", lambda: farm.modes()["HLT"] < NODES)
    followed.daemon.kill()
    followed.daemon.end()
    followed.start()
    wait_for("all but ten in cloud", lambda: farm.modes() == {"cloud": NODES - KEEP, "HLT": KEEP})
    wait_for("its end", lambda: followed.entries("ended"))
    (out,) = followed.operations()
    assert out.verdict is Verdict.ALL_GOOD
    assert [entry.operation for entry in followed.entries("to cloud", "ended")] == [out.id, out.id]
    asked = [set(told["requests"]) for told in farm.truth().values() if told["mode"] == "cloud"]
    assert asked == [{out.id}] * (NODES - KEEP)

    # A node that is taken out of the file while it is away is looked after until it is back.
    gone = out.order[0]
    lines = followed.nodes_file.read_text().splitlines(keepends=True)
    followed.nodes_file.write_text("".join(line for line in lines if line.split()[0] != gone))
    followed.daemon.wait_said(f"0 added, 1 gone, {NODES - 1} nodes; looked after until they are back: {gone}")

    followed.says("SETUP")
    wait_for("the farm in HLT", farm.rests_in_hlt)
    wait_for("its end", lambda: len(followed.entries("ended")) == 2)
    assert [each.to.value for each in followed.operations()] == ["cloud", "HLT"]
    assert [len(each.order) for each in followed.operations()] == [NODES - KEEP] * 2
    beam = {mode.value: followed.metrics()[BEAM_MODE, mode.value] for mode in BeamMode}
    assert [mode for mode, value in beam.items() if value] == ["SETUP"]
    wait_for("it says so", lambda: followed.now().modes == {"HLT": NODES - 1})
    shown = followed.run("decisions").stdout
    assert "NO BEAM: gap" in shown
    assert "HLT is wanted: SETUP: no rule names it; nodes: 39 HLT" in shown


@pytest.mark.parametrize("followed", [FIVE_FIRST], indirect=True)
def test_an_exclusion_under_way_is_called_off_and_undone(followed: Followed) -> None:
    farm = followed.farm
    second = followed.run("follow", "--policy", str(followed.path))
    assert (second.returncode, second.stderr.count("\n")) == (4, 1)
    assert "a follower already serves this store" in second.stderr
    with followed.dry() as dry:
        followed.says("RAMP DOWN")
        dry.wait_said("would: to cloud: RAMP DOWN: gap")
    wait_for("some on their way", lambda: farm.modes()["HLT"] < NODES)
    followed.says("INJECTION PROBE BEAM")
    wait_for("an operation back", lambda: len(followed.operations()) == 2)
    out, back = followed.operations()
    assert (out.verdict, back.of) == (Verdict.CALLED_OFF, out.id)
    wait_for("its end", lambda: followed.operations()[1].over)
    assert farm.rests_in_hlt()
    waited = set(out.order) - set(back.order)
    assert len(waited) == NODES - KEEP - 5
    assert not [host for host in waited if out.id in farm.truth()[host]["requests"]]


@pytest.mark.parametrize("followed", [FIVE_FIRST], indirect=True)
def test_a_hold_sends_nobody_more_and_holds_nobody_back(followed: Followed) -> None:
    farm = followed.farm
    followed.says("NO BEAM")
    wait_for("some on their way", lambda: farm.modes()["HLT"] < NODES)
    assert followed.run("policy", "hold", "--who", "anna", "--reason", "beam study").returncode == 0
    wait_for("the end of the exclusion", lambda: followed.entries("ended"))
    (out,) = followed.operations()
    assert out.verdict is Verdict.CALLED_OFF
    assert [entry.kind for entry in followed.entries()][1:] == ["to cloud", "hold", "cut short", "ended"]
    assert farm.modes() == {"HLT": NODES - 5, "cloud": 5}
    wait_for("that it says so", lambda: "on hold by anna: beam study" in followed.now().words)
    assert followed.metrics()[FOLLOW_HELD, ""] == 1.0
    followed.says("SETUP")
    wait_for("the farm in HLT", farm.rests_in_hlt)
    followed.says("NO BEAM")
    wait_for("it waits", lambda: followed.daemon.said.count("on hold by anna") > 1)
    assert len(followed.operations()) == 2
    rules = followed.path.read_text()
    followed.reads(rules.replace("NO BEAM", "NO BEEM"), "NO BEEM is no beam mode; did you mean NO BEAM?")
    followed.reads(rules.replace('name = "gap"', 'name = "another"'), "policy read again")
    assert "was held by anna" in followed.run("policy", "release", "--who", "ben").stdout
    wait_for("five in cloud", lambda: farm.modes()["cloud"] == 5)
    assert followed.entries("to cloud")[-1].reason.startswith("NO BEAM: another")


@pytest.mark.parametrize("followed", [{"patience_s": 10.0}], indirect=True)
def test_a_source_that_is_silent_or_says_nonsense_brings_the_farm_back(followed: Followed) -> None:
    farm = followed.farm
    followed.says("NO BEAM")
    wait_for("all but ten in cloud", lambda: farm.modes()["cloud"] == NODES - KEEP)
    followed.beam.unlink()
    wait_for("the farm in HLT", farm.rests_in_hlt)
    wait_for("a warning", lambda: followed.metrics()[FOLLOW_WARNING, "beam mode unknown"] == 1.0)
    assert (BEAM_MODE, "NO BEAM") not in followed.metrics()
    (back,) = followed.entries("to HLT")
    assert "cannot be read (No such file or directory)" in back.reason
    (warning,) = followed.entries("warning")
    assert warning.reason.startswith("beam mode unknown: no beam mode for")
    followed.says("COFFEE")
    wait_for("it names the word", lambda: "says 'COFFEE', which is no beam mode" in followed.now().words)
    assert followed.now().wanted == "HLT"


def test_what_people_do_is_left_alone(followed: Followed) -> None:
    farm = followed.farm
    first, second, third = sorted(farm.truth())[:3]
    assert followed.run("exclude", first, "--who", "anna", "--reason", "test").returncode == 0
    with closing(Store(followed.store_path)) as store:
        store.hold([second], "ben", "new disk")
    followed.says("NO BEAM")
    wait_for("all but ten in cloud", lambda: farm.modes()["cloud"] == NODES - KEEP)
    wait_for("its end", lambda: followed.entries("ended"))
    (out,) = followed.operations()
    assert not {first, second} & set(out.order)
    assert followed.run("include", third, "--who", "carl", "--reason", "needed").returncode == 0
    followed.says("STABLE BEAMS")
    wait_for("only what anna sent is away", lambda: farm.modes() == {"HLT": NODES - 1, "cloud": 1})
    assert farm.in_mode("cloud") == {first}
    back = followed.operations()[-1]
    assert not {first, second, third} & set(back.order)
    assert followed.run("include", first, "--who", "anna").returncode == 0
