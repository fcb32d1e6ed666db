"""Every file that a daemon reads, with anything in it: a value, or the error that is documented."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.box import Box, BuBox, box_mode, parse_box, read_box, written_s
from contract.config import NodeConfig, load
from contract.errors import ConfigError, Unreadable
from contract.journal import Journal, RequestRecord, RunRecord, StartRecord, read_journal
from contract.modefile import read_mode
from contract.modes import Mode, Wanted
from contract.paths import NodePaths
from contract.request import LONGEST_REASON, LONGEST_WHO, REQUEST_ID
from switcher import intake, run_files
from switcher.states import State
from switcher.store import Saved, Store
from switcher.timeline import Now, Timeline
from tests.fuzz.budget import BUDGET, one_line, tried
from tests.fuzz.inputs import BOXES, bent, either

ROOT = Path(__file__).parents[2]
TIME = "2026-11-25T07:00:00Z"
LINES = [
    msgspec.json.encode(record)
    for record in (
        StartRecord(seq=1, time=TIME, pid=1, mode=Mode.HLT, position="hlt", wanted=Wanted.HLT, facts=""),
        RequestRecord(seq=2, time=TIME, id="op-1", to=Wanted.CLOUD, who="a", reason="", verdict="accepted"),
        RunRecord(seq=3, time=TIME, run=100, what="started"),
    )
]
JOURNAL = b"\n".join(LINES) + b"\n"
STATE = msgspec.json.encode(
    Saved(
        state=State(),
        timeline=Timeline(mode_since=Now(0.0, 0.0), boot_id="b", seq=3),
        records=[RunRecord(seq=4, time="2026-11-25T07:00:03Z", run=100, what="ended")],
    )
)


@pytest.fixture
def paths(tmp_path: Path) -> NodePaths:
    found = NodePaths("fu-1", *(tmp_path / name for name in ("data", "resources", "ramdisk", "state")))
    for folder in (found.watch_dir, found.state_dir, found.run_dir(100) / "open"):
        folder.mkdir(parents=True)
    return found


@BUDGET
@given(bent([mode.value.encode() for mode in Mode]))
@example(b"cloud\xff")
def test_the_mode_file_is_a_mode_or_unreadable(tmp_path: Path, content: bytes) -> None:
    tried["mode file"] += 1
    path = tmp_path / "mode"
    path.write_bytes(content)
    try:
        assert read_mode(path) in set(Mode)
    except Unreadable as error:
        one_line(error)


@BUDGET
@given(either(BOXES))
@example(b'{"version": 5, "version": "\\u0000"}')
def test_a_box_file_is_a_box_or_unreadable(content: bytes) -> None:
    tried["box file"] += 1
    try:
        box = parse_box(content, "fu-1")
    except Unreadable as error:
        one_line(error)
        return
    assert isinstance(box, Box | BuBox)
    written_s(box)
    if isinstance(box, Box):
        assert box_mode(box) in {*Mode, None}
        json.dumps(msgspec.to_builtins(box))


@BUDGET
@given(bent([JOURNAL, LINES[0], JOURNAL * 3]))
def test_a_journal_is_read_past_whatever_is_in_it_and_goes_on(tmp_path: Path, content: bytes) -> None:
    tried["journal"] += 1
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)
    before = list(read_journal(path))
    journal = Journal(path)
    try:
        new = RunRecord(seq=journal.last_seq + 1, time="2026-11-25T08:00:00Z", run=7, what="started")
        journal.append([new])
    finally:
        journal.close()
    after = list(read_journal(path))
    assert after[-1] == new
    assert after[:-1] == before


@BUDGET
@given(either([STATE]))
def test_a_state_file_is_a_state_or_moved_aside(paths: NodePaths, content: bytes) -> None:
    tried["state file"] += 1
    for path in paths.state_dir.iterdir():
        path.unlink()
    paths.state.write_bytes(content)
    store = Store(paths)
    try:
        saved = store.load()
        assert saved is None or isinstance(saved, Saved)
        assert saved is not None or [path.name for path in paths.state_dir.glob("state.json.damaged-*")]
        store.save(State(), Timeline(mode_since=Now(0.0, 0.0), boot_id="b", seq=store.last_seq), [])
        assert store.load() is not None
    finally:
        store.close()


@BUDGET
@given(either([b'{"numQueuedLS": 3, "CMSSWMaxLS": 9, "maxLSWithOutput": 4, "outputBW": 1.5, "lumiBW": 2}']))
def test_what_the_merge_script_says_is_a_status_or_nothing(paths: NodePaths, content: bytes) -> None:
    tried["queue_status.jsn"] += 1
    (paths.run_dir(100) / "open" / "queue_status.jsn").write_bytes(content)
    found = run_files.read_queue_status(paths, 100)
    assert math.isfinite(found.outputBW)
    assert math.isfinite(found.lumiBW)
    json.dumps(msgspec.to_builtins(found), allow_nan=False)


@BUDGET
@given(either([b'{"lastLS": 12}']))
def test_a_stop_file_is_a_lumisection_or_nothing(paths: NodePaths, content: bytes) -> None:
    tried["CMSSW_STOP"] += 1
    (paths.run_dir(100) / run_files.STOP_FILE).write_bytes(content)
    found = run_files.read_stop(paths, 100)
    assert found is None or type(found) is int


@BUDGET
@given(
    either([b'{"id": "op-1", "who": "Anna", "reason": "gap", "deadline_s": 30}', b'{"id": "a"}']),
    st.sampled_from(["exclude", "include", "excludenow"]),
)
@example(b"x" * 5000, "exclude")
@example(b'{"deadline_s": 1e999}', "exclude")
def test_a_command_file_is_a_request_or_dropped(paths: NodePaths, content: bytes, name: str) -> None:
    tried["command file"] += 1
    paths.command(name).write_bytes(content)
    command = intake.take(paths, name)
    if command is not None:
        asked = command.request
        assert REQUEST_ID.fullmatch(asked.id)
        assert (asked.who + asked.reason).isprintable()
        assert (len(asked.who) <= LONGEST_WHO, len(asked.reason) <= LONGEST_REASON) == (True, True)
        assert asked.deadline_s is None or 0 < asked.deadline_s <= 86_400
        intake.drop(command.taken)
    assert intake.look(paths).commands == ()


NAMES = st.text(min_size=1, max_size=40).filter(lambda name: "/" not in name and "\0" not in name and name not in "..")
LIKE_NAMES = st.from_regex(
    r"\A(run|end|core|\.?exclude|include|excludenow)[0-9]{0,11}(_[a-zA-Z0-9.\-]{0,10})?(\.taken)?\Z"
)


@BUDGET
@given(st.lists(st.tuples(NAMES | LIKE_NAMES, st.booleans()), max_size=8))
def test_a_watch_directory_with_anything_in_it_is_looked_at(tmp_path: Path, entries: list[tuple[str, bool]]) -> None:
    tried["watch directory"] += 1
    paths = NodePaths("fu-1", tmp_path / "data", tmp_path, tmp_path, tmp_path)
    paths.watch_dir.mkdir(exist_ok=True)
    for path in paths.watch_dir.iterdir():
        path.rmdir() if path.is_dir() else path.unlink()
    for name, folder in entries:
        path = paths.watch_dir / name
        if len(name.encode(errors="surrogatepass")) < 250 and not path.exists():
            path.mkdir() if folder else path.touch()
    seen = intake.look(paths)
    for name, ref in seen.runs.items():
        assert (paths.watch_dir / name).is_dir()
        assert paths.run_dir(ref.number).parent == paths.watch_dir
        assert "/" not in ref.bu
    for number in seen.ended.values():
        assert 0 <= number < 10**9


CONFIG = (ROOT / "packaging" / "node.toml").read_bytes()
TOML = [
    CONFIG,
    b"[http]\nport = 9000\nallow = ['::1/128']\n",
    b"[[sink]]\nkind='opensearch'\nhosts=['http://a:1']\nhltd_form = true\n",
]


@BUDGET
@given(bent(TOML))
@example(b'["a\\nb"]\n')
@example(b'[http]\n"po\\u001brt" = 1\n')
@example(b'[http]\nallow = ["a\\nb"]\n')
@example(b'[[sink]]\nkind = "opensearch"\nhosts = ["http://a\\u001b\\n"]\n')
def test_a_configuration_is_one_or_an_error_that_says_where(tmp_path: Path, content: bytes) -> None:
    tried["configuration"] += 1
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    try:
        assert isinstance(load(path, environment={}), NodeConfig)
    except ConfigError as error:
        one_line(error)
        assert str(path) in str(error)


SECTIONS = st.sampled_from([*NodeConfig.__struct_fields__, "x", "", "http.port"])
KEYS = st.sampled_from(["port", "allow", "host", "command", "hosts", "name", "x", "", "mark_node"]) | st.text(
    max_size=10
)


@BUDGET
@given(SECTIONS, KEYS, bent([b"9000", b'"text"', b'["::1/128"]', b"1e3", b"{a = 1}", b"1\nport = 2"]))
@example("igniter", "command", b"\xff\xfe9000")
def test_a_flag_or_variable_is_taken_or_named(section: str, key: str, value: bytes) -> None:
    tried["flags and variables"] += 1
    text = value.decode(errors="surrogateescape")
    for how in ({"sets": [f"{section}.{key}={text}"]}, {"environment": {f"HLTMODE_{section}_{key}".upper(): text}}):
        try:
            assert isinstance(load(None, **{"environment": {}, **how}), NodeConfig)  # type: ignore[arg-type]
        except ConfigError as error:
            one_line(error)


def test_what_is_used_here_is_valid(tmp_path: Path, paths: NodePaths) -> None:
    """The samples that are bent are good ones to begin with."""
    assert [type(parse_box(box, "x")) for box in BOXES]
    (tmp_path / "box").write_bytes(BOXES[0])
    assert isinstance(read_box(tmp_path / "box"), Box | BuBox)
    paths.journal.write_bytes(JOURNAL)
    assert [record.seq for record in read_journal(paths.journal)] == [1, 2, 3]
    paths.state.write_bytes(STATE)
    store = Store(paths)
    assert store.load() is not None
    store.close()
    for content in TOML:
        (tmp_path / "toml").write_bytes(content)
        assert isinstance(load(tmp_path / "toml", environment={}), NodeConfig)
