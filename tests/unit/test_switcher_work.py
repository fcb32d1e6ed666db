"""Jobs and merge scripts as real processes, in run directories where others may write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.config import Jobs
from contract.paths import NodePaths, RunRef
from simulator.daemons import kill_left_behind
from simulator.node_files import lay_out
from switcher import tokens
from switcher.processes import Child
from switcher.states import Told
from switcher.work import Work

RUN = RunRef(100)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[NodePaths]:
    paths = lay_out(tmp_path, "fu-1", cores=1).paths
    tokens.prepare(paths)
    yield paths
    kill_left_behind(paths.state_dir)


def test_a_job_whose_run_cannot_be_marked_is_watched_and_its_run_closes(paths: NodePaths) -> None:
    watched: list[Child] = []
    work = Work(Jobs(command=["sleep", "300"], merge_command=[], cores_per_job=1), paths, watched.append)
    trap = paths.run_dir(RUN.number) / "active"
    work.begin(RUN)
    trap.mkdir()
    work.fill([RUN], 0.0)
    (child,) = watched
    assert list(work.runs[100].jobs) == [child.pid]
    assert "Is a directory" in work.runs[100].trouble
    trap.rmdir()
    work.fill([RUN], 1.0)
    assert work.runs[100].trouble == ""
    assert trap.is_file()
    work.tell(RUN.number, Told.KILL, 1)
    assert child.popen is not None
    work.ended(child.pid, child.popen.wait(), 2.0)
    work.close_finished()
    assert work.runs == {}
    assert tokens.scan(paths).idle == ("core0",)
