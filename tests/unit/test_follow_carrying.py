"""How decisions are carried out beside another process, and on a disk that takes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from contract.modes import Wanted
from fleet.farm import Farm
from fleet.follow import carrying
from fleet.follow.carrying import Carrier
from fleet.follow.decision import Act, Course, Decision
from fleet.follow.follower import Follower
from fleet.follow.policy import Want
from fleet.follow.policy_file import BeamSource, PolicyFile, Read, WrittenRule, load
from fleet.follow.record import Record
from fleet.hosts import Place
from fleet.operation import Operation
from fleet.rollout import Verdict
from fleet.standing import NodeState, Standing
from fleet.store import Store

HOSTS = ("fu-1", "fu-2", "fu-3")
PLACES = {host: Place("127.0.0.1:1") for host in HOSTS}
BACK = Decision(act=Act.TO_HLT, reason="SETUP", wanted=Wanted.HLT)
FULL = "CREATE TEMP TRIGGER full BEFORE INSERT ON decisions BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
POLICY = """
[beam]
file = "{beam}"
[[rule]]
modes = ["NO BEAM"]
want = "cloud"
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "fleet.sqlite")
    yield made
    made.close()


def carrier(store: Store) -> Carrier:
    rule = WrittenRule(modes=["NO BEAM"], want=Want.CLOUD)
    file = PolicyFile(rule=[rule], beam=BeamSource(file="beam"))
    return Carrier(store, Record(store), Farm(store.path, PLACES, ""), file, lambda: 1.0)


def exclusion(store: Store, *standings: Standing) -> Operation:
    made = Operation(
        id="op-out", to=Wanted.CLOUD, who="fleet-follow", reason="", created_s=1.0, order=HOSTS, places=PLACES,
        limit_s=240.0,
    )  # fmt: skip
    store.begin(made, states(*standings), {})
    return made


def states(*standings: Standing) -> list[NodeState]:
    return [
        NodeState(host=host, request_id="op-out", standing=standing, tries=int(standing is not Standing.WAITING))
        for host, standing in zip(HOSTS, standings, strict=True)
    ]


async def until(met: Callable[[], object]) -> None:
    async with asyncio.timeout(30.0):
        while not met():  # noqa: ASYNC110 - no event tells of what a log or a file holds
            await asyncio.sleep(0.01)


def test_an_exclusion_that_another_process_runs_is_called_off_and_left_to_it(store: Store) -> None:
    ours, other = carrier(store), Store(store.path)
    out = exclusion(store, Standing.SWITCHING, Standing.WAITING, Standing.WAITING)
    other.run(out)
    course = asyncio.run(ours.bring_back(BACK, "SETUP", Course(to=Wanted.CLOUD)))
    assert course.to is Wanted.HLT
    there = store.operation(out.id)
    assert (there.over, there.called_off) == (False, True)
    (back,) = (each for each in store.operations() if each.to is Wanted.HLT)
    assert back.order == ("fu-1",)

    other.save(out, states(Standing.SWITCHING, Standing.SWITCHING, Standing.WAITING))  # it has not heard of it yet
    books = ours.books()
    assert (books.way, books.settling, books.owed) == (Wanted.HLT, True, ("fu-2",))
    asyncio.run(ours.bring_back(BACK, "SETUP", course))
    assert [each.order for each in store.operations() if each.to is Wanted.HLT] == [("fu-1",), ("fu-2",)]
    assert ours.books().owed == ()

    other.save(replace(out, verdict=Verdict.CALLED_OFF, called_off=True), [])
    other.leave(out)
    assert (ours.books().way, ours.books().settling) == (Wanted.HLT, False)
    other.close()


def test_an_exclusion_that_nobody_runs_is_over_at_once(store: Store) -> None:
    ours = carrier(store)
    out = exclusion(store, Standing.SWITCHING, Standing.WAITING, Standing.WAITING)
    asyncio.run(ours.bring_back(BACK, "SETUP", Course(to=Wanted.CLOUD)))
    assert store.operation(out.id).verdict is Verdict.CALLED_OFF
    assert [node.standing for node in store.nodes(out).values()] == [
        Standing.SWITCHING, Standing.LEFT_OUT, Standing.LEFT_OUT
    ]  # fmt: skip


def test_an_operation_that_ends_on_a_full_disk_is_in_the_log_once_there_is_room(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(carrying, "AGAIN_S", 0.01)
    ours, record = carrier(store), Record(store)
    out = exclusion(store, Standing.DONE, Standing.DONE, Standing.LEFT_OUT)
    store.connection.execute(FULL)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            ours.run_all(group, lambda _operation: None)
            await until(lambda: "disk is full" in caplog.text)
            assert record.entries() == []
            store.connection.execute("DROP TRIGGER full")
            await until(record.entries)

    asyncio.run(run())
    (entry,) = record.entries()
    assert (entry.kind, entry.operation) == ("ended", out.id)


def test_an_exclusion_that_cannot_be_saved_as_it_is_stopped_does_not_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = carrier(store)
    out = exclusion(store, Standing.WAITING, Standing.WAITING, Standing.WAITING)
    monkeypatch.setattr(carrying, "AGAIN_S", 3600.0)

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            ours.run_all(group, lambda _operation: None)
            await until(lambda: store.runs(out))
            store.connection.execute(
                "CREATE TEMP TRIGGER full BEFORE DELETE ON runners BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
            )
            async with asyncio.timeout(30.0):
                await ours._stop(out)

    asyncio.run(run())
    assert not store.runs(out)


def test_a_follower_that_starts_on_a_full_disk_goes_on_trying_and_says_so(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY.format(beam=tmp_path / "beam"))
    read: Read = load(path)
    follower = Follower(read, Farm(store.path, {"fu-1": Place("127.0.0.1:1")}, ""), store, lambda: read, "policy.toml")
    store.connection.execute(FULL)

    async def run() -> None:
        task = asyncio.create_task(follower.run())
        await until(lambda: "disk is full" in caplog.text and follower.shown.tick_s)
        store.connection.execute("DROP TRIGGER full")
        await until(lambda: Record(store).entries())
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(run())
    assert Record(store).entries()[0].kind == "started"
