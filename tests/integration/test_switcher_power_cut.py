"""A power cut at every moment of a journey: whatever of the unsynced is lost, the next start arrives.

`power_cut` records what the switcher does to its files and yields what a cut may leave. Each image is put on a node of
its own, on a machine that has rebooted: no jobs, no VMs, another boot id. `make kill` tries every image; CI one of each
kind.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from contract.modes import Mode
from tests.integration.guarded import VIOLATIONS
from tests.integration.journeys import CORES, Trial, Truth, check_journal, refused_and_joined, there_and_back
from tests.integration.nursery import Nursery
from tests.integration.power_cut import TREES, Disk, Image, images, put

SIDE_BY_SIDE: Final = 4
Journey = Callable[[Trial], None]


def by_files(trial: Trial) -> None:
    """Command files with ids: an image's files have other numbers and times, of which ids are made without one."""
    refused_and_joined(trial, '{"id": "op-1"}', '{"id": "op-2"}')


JOURNEYS: Final = (there_and_back, by_files)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as made:
        yield made


def record(nursery: Nursery, journey: Journey, root: Path) -> tuple[Disk, Path, Trial]:
    """Goes on a journey and returns the disk at its beginning, and what was written on the way."""
    trial = Trial(nursery, root)
    disk, log = Disk(trial.folder), root / "operations"
    try:
        trial.start(recorded={"folder": str(trial.folder), "log": str(log)})
        journey(trial)
    finally:
        trial.clean()
    return disk, log, trial


def kind(image: Image) -> str:
    """Returns what an image has in common with others: the operation before it, and what was lost."""
    operation = re.sub(r"core\d+|run\d+", "*", image.last)
    return f"{operation} | {re.sub(r'first [0-9]+', 'first', image.how)}"


def chosen(journey: Journey, every: list[Image]) -> list[Image]:
    """Returns one image of each kind of operation and loss: the last, when most has happened.

    Of the second journey only those that the first one lacks: commands and run directories that come and go.
    """
    kinds = {kind(image): image for image in every if not image.how.endswith("half")}
    if journey is by_files:
        kinds = {name: image for name, image in kinds.items() if re.search(r" data/(?!\.mode|.*(ing|ive)\b)", name)}
    return sorted(kinds.values(), key=lambda image: image.moment)


def state_of(image: Image) -> dict[str, Any]:
    """Returns the content of the state file, which is whole at every moment; empty before there is one."""
    content = image.files.get("state/state.json")
    saved: dict[str, Any] = json.loads(content) if content is not None else {}
    return saved


def after_the_cut(nursery: Nursery, truth: Truth, image: Image, root: Path) -> str:
    """Starts a switcher on an image; returns what is wrong, empty for nothing."""
    trial = Trial(nursery, root)
    for tree in TREES:
        shutil.rmtree(trial.folder / tree)
        (trial.folder / tree).mkdir()
    put(image, trial.folder)
    saved = state_of(image)
    try:
        with truth.of(trial.folder):
            check_arrival(trial, image, saved)
    except AssertionError as error:
        names = {name: content for name, content in image.files.items() if name.startswith(("state", "data"))}
        return f"cut after operation {image.moment}, {image.last}, {image.how}: {error}\n{names}"
    finally:
        trial.clean()
    shutil.rmtree(root)
    return ""


def check_image(image: Image) -> None:
    """What can be seen without a start, so that it is seen in every image."""
    answered = [answer["id"] for answer in state_of(image).get("state", {}).get("answered", [])]
    assert answered[: len(image.answered)] == list(image.answered), f"a request is lost: {image}"
    for name, request in (("exclude", "op-1"), ("include", "op-2")):
        # Under its first name it would be another request, had it no id of its own.
        assert not (f"data/{name}" in image.files and request in answered), f"{request} comes back as new: {image}"


def check_arrival(trial: Trial, image: Image, saved: dict[str, Any]) -> None:
    node = trial.node
    state = saved.get("state", {"answered": [], "wanted": "HLT", "runs": [], "waiting": None})
    answered = [answer["id"] for answer in state["answered"]]
    if saved:
        # The machine has rebooted.
        saved["timeline"]["boot_id"] = "another"
        node.paths.state.write_text(json.dumps(saved))
    wanted = state["wanted"]
    for name, request, to in (("exclude", "op-1", "cloud"), ("include", "op-2", "HLT")):
        untaken, taken = (node.paths.watch_dir / file for file in (name, f".{name}.taken"))
        if request not in answered and (untaken.exists() or taken.exists()):
            wanted = to
    for number in (100, 101):
        node.bu_run(number, 6)
    trial.start()
    mode = Mode.CLOUD if wanted == "cloud" else Mode.HLT
    trial.until(f"at rest in {mode.value}", lambda: trial.at_rest(mode))
    runs = [run["ref"]["number"] for run in state["runs"]] + ([state["waiting"]["number"]] if state["waiting"] else [])
    if mode is Mode.HLT and runs:
        trial.until("the run joined", lambda: trial.working_on(max(runs)))
    # A run that lies there unfinished is joined, and its tokens are on their way while they are looked for.
    trial.until("every token once", lambda: node.token_names() == [f"core{number}" for number in range(CORES)])
    assert not (trial.folder / VIOLATIONS).exists(), (trial.folder / VIOLATIONS).read_text()
    assert trial.lives == 1
    assert not list(node.paths.watch_dir.glob("*clude*"))
    check_journal(trial, ends_in=mode)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("journey", JOURNEYS, ids=lambda journey: journey.__name__)
def test_a_power_cut_at_any_moment_loses_nothing_that_was_answered(
    nursery: Nursery, journey: Journey, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    disk, log, trial = record(nursery, journey, tmp_path / "recorded")
    every = list(images(disk, log))
    for name in ("data/mode", "state/state.json", "state/journal.jsonl"):
        assert disk.now[name].content == (trial.folder / name).read_bytes(), "the record is not what happened"
    for image in every:
        check_image(image)
    cut = every if request.config.getoption("every_point") else chosen(journey, every)
    with Truth() as truth, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        wrong = [
            words
            for words in pool.map(
                lambda each: after_the_cut(nursery, truth, each[1], tmp_path / str(each[0])), enumerate(cut)
            )
            if words
        ]
    sys.stdout.write(f"{journey.__name__}: {len(every)} images of {every[-1].moment} operations, tried {len(cut)}\n")
    assert not wrong, "\n\n".join(wrong[:5])
    assert not truth.lies
