"""What the file of operations keeps, and who may run one."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.errors import Surroundings
from contract.modes import Wanted
from fleet.follow.ledger import Ledger
from fleet.follow.record import Entry, Now, Record
from fleet.hosts import Place
from fleet.operation import Operation, new_id
from fleet.rollout import Verdict
from fleet.standing import NodeState, Standing
from fleet.store import NoSuchOperation, Store, Taken

RUNNER = """
import sys
from pathlib import Path
from fleet.store import Store
store = Store(Path(sys.argv[1]))
store.run(store.operation("last"))
print("runs", flush=True)
sys.stdin.read()
"""


def operation(*hosts: str, name: str = "") -> Operation:
    return Operation(
        id=name or new_id(), to=Wanted.CLOUD, who="anna", reason="", created_s=1.0, order=hosts,
        places={host: Place(host) for host in hosts}, limit_s=240.0,
    )  # fmt: skip


def waiting(order: Operation) -> list[NodeState]:
    return [NodeState(host=host, request_id=order.id) for host in order.order]


def test_a_row_that_cannot_be_read_is_named_and_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "fleet.sqlite"
    store = Store(path)
    good, bad = operation("fu-1", "fu-2", name="op-good"), operation("fu-3", name="op-bad")
    for each in (good, bad):
        store.begin(each, waiting(each), {})
    store.connection.execute("UPDATE operations SET body = ? WHERE id = 'op-bad'", (b'{"id": ',))
    store.connection.execute("UPDATE nodes SET body = NULL WHERE host = 'fu-1'")
    assert [store.operations(), store.operations(over=False)] == [[good], [good]]
    assert list(store.readable(["op-bad", "op-good"])) == [good]
    with pytest.raises(Surroundings, match="op-bad: its row in"):
        store.operation("op-bad")
    found = store.nodes(good)
    assert (found["fu-1"].standing, found["fu-1"].tries) == (Standing.ASKED, 1)  # its journal knows what it heard
    assert found["fu-2"].standing is Standing.WAITING
    store.nodes(good)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["op-bad", "fu-1"]
    assert Ledger(store, "anna").own() == {"fu-1": False}
    record = Record(store)
    record.add(Entry(at_s=1.0, kind="hold", reason="x"))
    store.connection.execute("INSERT INTO decisions (at_s, body) VALUES (2.0, 'rubbish')")
    store.connection.execute("INSERT INTO follower VALUES ('Now', x'ff')")
    assert ([entry.kind for entry in record.entries()], record.kept(Now)) == (["hold"], None)


def test_nodes_belong_to_one_operation_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    first, second = operation("fu-1", "fu-2"), operation("fu-2", "fu-3")
    store.begin(first, waiting(first), {"fu-1": 7})
    with pytest.raises(Taken, match="anna has 1 of these nodes"):
        store.begin(second, waiting(second), {})
    assert store.operations() == [first]
    assert store.cursors(first) == {"fu-1": 7}
    assert list(store.nodes(first)) == ["fu-1", "fu-2"]
    with pytest.raises(NoSuchOperation):
        store.operation("op-x")
    store.call_off(first.id)  # asks nobody any more, so its nodes are free
    store.begin(second, waiting(second), {})
    store.close()


def test_what_is_held_by_the_time_it_begins_is_left_out_and_an_id_is_one_operation(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1", "fu-2")
    store.hold(["fu-2", "fu-9"], "ben", "new disk")
    store.begin(order, waiting(order), {})
    nodes = store.nodes(order)
    assert nodes["fu-1"].standing is Standing.WAITING
    assert (nodes["fu-2"].standing, nodes["fu-2"].words) == (Standing.LEFT_OUT, "on hold: ben: new disk")
    other = operation("fu-3", name=order.id)
    with pytest.raises(Taken, match="take another id"):
        store.begin(other, waiting(other), {})
    store.close()


def test_an_operation_is_run_once_even_in_one_process(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "fleet.sqlite"), Store(tmp_path / "fleet.sqlite")
    first, second = operation("fu-1"), operation("fu-2")
    for order in (first, second):
        store.begin(order, waiting(order), {})
        store.run(order)
        assert store.runs(order)
        assert other.runs(order)
        for each in (store, other):
            with pytest.raises(Taken, match=f"process {os.getpid()} runs it"):
                each.run(order)
    store.leave(first)
    assert (store.runs(first), other.runs(first), other.runs(second)) == (False, False, True)
    other.run(first)
    assert store.runs(first)
    store.close()
    assert not other.runs(second)
    other.close()


def test_who_asks_whether_it_is_run_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = Store(tmp_path / "fleet.sqlite"), Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    close = os.close

    def run_first(descriptor: int) -> None:
        monkeypatch.setattr("fleet.store.os.close", close)
        store.run(order)  # while the other one has the file of locks open
        close(descriptor)

    monkeypatch.setattr("fleet.store.os.close", run_first)
    assert not other.runs(order)
    assert other.runs(order)
    store.close()
    other.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_dead_runner_is_no_hindrance_and_one_that_sleeps_is(tmp_path: Path, number: int) -> None:
    path = tmp_path / "fleet.sqlite"
    store = Store(path)
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    command = [sys.executable, "-c", RUNNER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "runs\n"
        try:
            assert store.runs(order)
            with pytest.raises(Taken, match=f"process {runner.pid} runs it"):
                store.run(order)
            runner.send_signal(number)
            if number == signal.SIGSTOP:  # it may wake up at any time, and would ask
                assert store.runs(order)
        finally:
            runner.kill()
            runner.wait()
    store.run(order)
    store.close()


def test_what_is_called_off_stays_so_whatever_its_runner_saves(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "fleet.sqlite"), Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    assert other.call_off(order.id).called_off
    store.save(order, [NodeState(host="fu-1", request_id=order.id, standing=Standing.ASKED)], {"fu-1": 3})
    store.save(replace(order, stopped="too many"), [])
    found = store.operation(order.id)
    assert (found.called_off, found.stopped, store.is_called_off(order)) == (True, "too many", True)
    assert (store.nodes(order)["fu-1"].standing, store.cursors(order)) == (Standing.ASKED, {"fu-1": 3})
    store.save(replace(found, verdict=Verdict.CALLED_OFF), [])
    assert store.operations(over=False) == []
    store.close()
    other.close()


def test_what_is_over_stays_over_whatever_its_runner_saves(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "fleet.sqlite"), Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    other.save(replace(order, verdict=Verdict.CALLED_OFF), [])
    store.save(replace(order, stopped="too many"), [])  # it has not heard
    assert store.operation(order.id).verdict is Verdict.CALLED_OFF
    assert store.operations(over=False) == []
    store.save(replace(order, verdict=Verdict.STOPPED), [])
    assert store.operation(order.id).verdict is Verdict.STOPPED
    store.close()
    other.close()


def test_the_newest_operations_are_found_without_reading_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    made = [replace(operation("fu-1", f"fu-{n % 2 + 2}", name=f"op-{9 - n}"), created_s=float(n)) for n in range(5)]
    for n, each in enumerate(made):
        store.save(replace(each, verdict=Verdict.ALL_GOOD if n < 4 else None), waiting(each))
    names = [each.id for each in made]
    assert [each.id for each in store.operations()] == names
    assert [each.id for each in store.operations(newest=2)] == names[-2:]
    assert [each.id for each in store.operations(over=True, newest=2)] == names[2:4]
    assert [each.id for each in store.operations(host="fu-3")] == [names[1], names[3]]
    assert [each.id for each in store.operations(host="fu-3", newest=1)] == [names[3]]
    query = "EXPLAIN QUERY PLAN SELECT body FROM operations ORDER BY created_s DESC LIMIT 2"
    assert "operations_by_time" in str(store.connection.execute(query).fetchall())
    store.close()


@pytest.mark.parametrize(("umask", "store_mode", "lock_mode"), [(0o007, 0o660, 0o660), (0o077, 0o600, 0o600)])
def test_who_may_write_the_store_may_write_what_lies_beside_it(
    tmp_path: Path, umask: int, store_mode: int, lock_mode: int
) -> None:
    before = os.umask(umask)
    try:
        store = Store(tmp_path / "fleet.sqlite")
        os.umask(0o022)  # of another one, who happens to be the first that runs an operation
        order = operation("fu-1")
        store.begin(order, waiting(order), {})
        store.run(order)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    store.close()
    assert modes.pop("fleet.sqlite.lock") == lock_mode
    assert set(modes.values()) == {store_mode}
    assert len(modes) == 3


def test_who_could_not_take_an_operation_on_a_full_disk_can_once_there_is_room(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    store.connection.execute("CREATE TEMP TRIGGER full BEFORE INSERT ON runners BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(Surroundings, match="cannot be written"):
        store.run(order)
    assert not store.runs(order)
    store.connection.execute("DROP TRIGGER full")
    store.run(order)
    store.close()


def test_what_is_written_together_is_there_or_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    with pytest.raises(KeyError), store.transaction():
        store.begin(order, waiting(order), {})
        raise KeyError
    assert store.operations() == []
    store.close()


def test_a_disk_that_takes_nothing_is_named_and_half_a_change_is_none(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    store = Store(path)
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    long = NodeState(host="fu-1", request_id=order.id, standing=Standing.ASKED, words="x" * 1_000_000)
    with pytest.raises(Surroundings, match="cannot be written"):
        store.save(order, [long], {"fu-1": 9})
    assert (store.nodes(order)["fu-1"].standing, store.cursors(order)) == (Standing.WAITING, {})
    store._connection.execute("PRAGMA max_page_count = 100000")
    store.save(order, [long], {"fu-1": 9})
    assert store.nodes(order)["fu-1"] == long
    store.close()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "fleet.sqlite")
    order = operation("fu-1")
    store.begin(order, waiting(order), {})
    for table in ("holds", "served", "nodes", "cursors", "called_off", "operations"):
        store.connection.execute(f"DROP TABLE {table}")
    reads: list[Callable[[], object]] = [
        store.holds, store.served, store.operations, store.ids, partial(store.operation, "last"),
        partial(store.nodes, order), partial(store.cursors, order), partial(store.is_called_off, order),
    ]  # fmt: skip
    for read in reads:
        with pytest.raises(Surroundings, match="cannot be read"):
            read()
    store.close()


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fleet.sqlite"
    path.write_text("not a database" * 100)
    with pytest.raises(Surroundings, match="cannot be used"):
        Store(path)
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(path).execute("SELECT 1 FROM nodes")
