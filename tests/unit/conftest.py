"""What unit tests share."""

from __future__ import annotations

import pytest

from collector.sources import slow_files


@pytest.fixture
def files_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are read beside the collector are waited for until they answer, however busy the machine is."""
    monkeypatch.setattr(slow_files, "WAIT_S", 60.0)
