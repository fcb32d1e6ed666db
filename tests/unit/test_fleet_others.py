"""What nodes themselves tell of requests that the store knows nothing of."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from contract.modes import Wanted
from fleet.client import Look, NodeStatus, Old, Switching
from fleet.farm import Farm
from fleet.order import Order
from fleet.ordering import ordered_as_seen
from fleet.others import others_words
from fleet.rollout import Ramp
from fleet.store import Store, Taken


def status(host: str, name: str, to: str, *, stuck: bool = False) -> NodeStatus:
    switch = Switching({"id": name, "who": "ben", "to": to}, "2026-11-25T10:00:00.000Z")
    return NodeStatus(host=host, mode_name="HLT", journal_seq=1, switch=switch, stuck=stuck)


@pytest.mark.parametrize(
    ("theirs", "stuck", "ours", "refused"),
    [
        ("HLT", False, Wanted.CLOUD, True),  # they bring it back: HLT wins
        ("HLT", True, Wanted.CLOUD, False),
        ("cloud", False, Wanted.CLOUD, False),
        ("cloud", False, Wanted.HLT, False),
        ("HLT", False, Wanted.HLT, False),
    ],
)
def test_a_request_of_another_store_is_told_and_the_way_back_is_not_crossed(
    theirs: str, stuck: bool, ours: Wanted, refused: bool
) -> None:
    looks: dict[str, Look] = {f"fu-{n}": status(f"fu-{n}", "op-theirs", theirs, stuck=stuck) for n in (1, 2)}
    looks |= {"fu-3": status("fu-3", "op-ours", theirs), "fu-4": Old(0), "fu-5": status("fu-5", "op-5", theirs)}
    (told,), why = others_words(looks, ["fu-1", "fu-2", "fu-3", "fu-4"], {"op-ours"}, ours)
    assert told.startswith("fu-[1-2]: on the way")
    assert "since 2026-11-25 10:00:00 by ben (op-theirs)" in told
    assert bool(why) is refused
    assert not why or told in why


def test_an_exclusion_is_not_begun_against_somebody_elses_way_back(tmp_path: Path) -> None:
    order = Order(
        "anna", "", None, None, 0, 0, prefer_idle=False, ramp=Ramp(), limit_s=None, hurry=False, deadline_s=None
    )
    looks: dict[str, Look] = {"fu-1": status("fu-1", "op-theirs", "HLT")}
    with closing(Store(tmp_path / "fleet.sqlite")) as store:
        farm = Farm(store.path, {}, "")
        planned = ordered_as_seen(farm, store, looks, Wanted.CLOUD, order)
        assert "by ben (op-theirs)" in planned.plan.others[0]
        with pytest.raises(Taken, match="wait until they are there"):
            planned.begin(store)
        assert store.operations() == []
        ordered_as_seen(farm, store, looks, Wanted.HLT, order).begin(store)
        assert len(store.operations()) == 1
