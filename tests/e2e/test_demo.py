"""README's first command, as a new user sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from switcher import processes


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.mark.timeout(170)
def test_the_demo_sees_all_it_has_to_and_leaves_nothing_behind(temporary: Path) -> None:
    svg = temporary / "demo.svg"
    command = [sys.executable, "-m", "hltmode", "demo", "--svg", str(svg)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.count(" ✓ ") == 7
    for words in ("activatingCloud", "deactivatingCloud", "superseded", "fu-sim-04: HLT, 8 idle, run none"):
        assert words in done.stdout
    folder = re.search(r"lies in (\S+)", done.stdout)
    assert folder is not None
    assert not Path(folder[1]).exists()
    assert list(processes.marked(Path(folder[1]) / "fu-sim-01" / "state")) == []
    assert "fu-sim-03" in svg.read_text()
