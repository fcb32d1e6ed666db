"""Operators who go away: Ctrl-C before anybody was asked, and readers of a pipe who have read enough."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.integration.node import PATIENCE_S
from tests.ports import free_port


def command(folder: Path, port: int, *words: str) -> list[str]:
    (folder / "farm.txt").write_text(f"fu-1 bu-1 127.0.0.1:{port}\n")
    files = ["--store", str(folder / "fleet.sqlite"), "--nodes", str(folder / "farm.txt")]
    return [sys.executable, "-m", "hltmode", "fleet", *words, *files]


def unread(words: Sequence[str]) -> tuple[int, str]:
    """Runs a command whose reader has gone; returns its exit code and what it says on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE_S)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


def test_ctrl_c_while_nodes_are_looked_at_says_that_nobody_was_asked(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as node:  # takes connections and never answers
        words = command(tmp_path, node.getsockname()[1], "exclude", "fu-1")
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        with process, node.accept()[0]:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=PATIENCE_S)[1]
    assert process.returncode == 130, said
    assert "nobody was asked" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_reader_who_has_gone_ends_a_command_quietly_and_an_operation_waits_for_watch(tmp_path: Path) -> None:
    port = free_port()
    assert unread([sys.executable, "-m", "hltmode", "fleet", "nodes", "fu-[1-9000]", "--expand"]) == (141, "")
    code, said = unread(command(tmp_path, port, "exclude", "fu-1", "--limit", "1", "--json"))
    assert (code, "detached: 1 nodes wait to be asked" in said) == (11, True), said
    done = subprocess.run(
        command(tmp_path, port, "watch", "last"), check=False, capture_output=True, timeout=PATIENCE_S
    )
    assert done.returncode == 10
    assert unread(command(tmp_path, port, "watch", "last")) == (10, "")  # it is over: what became of it counts
