"""An operation in a pipe: plain lines for people, a stream of events for machines."""

from __future__ import annotations

import io
import json
from typing import cast

import pytest
from rich.console import Console

from fleet import view
from fleet.engine import Engine
from fleet.rollout import Doing
from fleet.standing import NodeState, Standing
from fleet.view import View
from tests.unit.test_fleet_picture import OPERATION, node, some_nodes


class Stands:
    """An engine as a view sees it."""

    def __init__(self) -> None:
        self.operation = OPERATION
        self.nodes: dict[str, NodeState] = some_nodes()
        self.doing = Doing.WATCHING
        self.stage = 0


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "SAID_EVERY_S", 0.0)


def test_a_pipe_gets_a_line_for_each_change() -> None:
    file = io.StringIO()
    stands = Stands()
    with View(Console(file=file, width=1000), as_json=False, earlier_s=[20.0]) as shown:
        shown.tell(cast("Engine", stands))
        shown.tell(cast("Engine", stands))
        stands.nodes["fu-06"] = node(5, Standing.DONE)
        shown.tell(cast("Engine", stands))
    first, second = file.getvalue().splitlines()
    assert first.startswith("3 of 20 ended; 15 waiting, 2 switching, 1 done, 1 refused, 1 unreachable; 16 HLT, ")
    assert "as earlier ones took; 1 of them speak only hltd's URLs" in first
    assert second.startswith("4 of 20 ended; 14 waiting")


def test_a_stream_has_each_change_once_and_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    stands = Stands()
    with View(Console(file=io.StringIO()), as_json=True) as shown:
        shown.tell(cast("Engine", stands))
        stands.nodes["fu-06"] = node(5, Standing.DONE)
        shown.tell(cast("Engine", stands))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    nodes = [event["host"] for event in events if event["event"] == "node"]
    assert len(nodes) == 21
    assert nodes[-1] == "fu-06"
    uncertain = [event["host"] for event in events if event["event"] == "node" and not event["certain"]]
    assert uncertain == ["fu-04"]
    progress = [event for event in events if event["event"] == "progress"]
    assert [(each["nodes"], each["counts"]["waiting"]) for each in progress] == [(20, 15), (20, 14)]
    assert progress[0]["modes"]["activatingCloud"] == 2
    assert (progress[0]["stage"], progress[0]["stages"], progress[0]["less_certain"]) == (1, 2, 1)
