"""A folder that may stop answering holds nobody up."""

from __future__ import annotations

import threading
import time

import pytest

from contract.errors import MountHangs
from contract.mount import Mount
from tests.integration.node import wait_for


def test_an_answer_is_handed_on_and_so_is_an_error() -> None:
    mount = Mount("bu")
    assert mount.call(lambda: 42, timeout_s=5) == 42
    with pytest.raises(ZeroDivisionError):
        mount.call(lambda: 1 // 0, timeout_s=5)
    mount.close()


def test_a_call_that_hangs_fails_in_time_and_later_ones_at_once_until_it_answers() -> None:
    mount, freed = Mount("bu"), threading.Event()
    with pytest.raises(MountHangs, match=r"bu: no answer within 0\.05 s; check the mount"):
        mount.call(lambda: freed.wait(30), timeout_s=0.05)
    assert mount.hangs
    begun_s = time.monotonic()
    with pytest.raises(MountHangs, match="bu: does not answer"):
        mount.call(lambda: None, timeout_s=1000)
    assert time.monotonic() - begun_s < 100
    freed.set()
    wait_for("the mount to answer", lambda: not mount.hangs)
    assert mount.call(lambda: "again", timeout_s=5) == "again"
    mount.close()
