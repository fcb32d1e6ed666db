"""One TOML file, variables and flags above it, and one line for whoever writes it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.config import NodeConfig, load
from contract.errors import ConfigError
from contract.modes import Mode


def written(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


def test_without_a_file_every_key_has_a_default() -> None:
    config = load(None, environment={})
    assert config == NodeConfig()
    assert config.http.allow == ["127.0.0.0/8", "::1/128"]
    assert config.jobs.cores_per_job == 4
    assert config.collector.interval_s == 5.0


def test_variables_stand_above_the_file_and_flags_above_both(tmp_path: Path) -> None:
    path = written(tmp_path, "[http]\nport = 9001\n[jobs]\ncores_per_job = 2\nextra_lumisections = 1\n")
    environment = {"HLTMODE_HTTP_PORT": "9002", "HLTMODE_JOBS_CORES_PER_JOB": "3", "HLTMODE_NODE": "somebody else's"}
    config = load(
        path, environment={k: v for k, v in environment.items() if k != "HLTMODE_NODE"}, sets=["http.port=9003"]
    )
    assert (config.http.port, config.jobs.cores_per_job, config.jobs.extra_lumisections) == (9003, 3, 1)


def test_a_flag_takes_lists_and_plain_words() -> None:
    config = load(None, environment={}, sets=['igniter.command=["/bin/igniter", "-v"]', "node.host=fu-9"])
    assert config.igniter.command == ["/bin/igniter", "-v"]
    assert config.node.host == "fu-9"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[htpp]\nport = 1\n", "[htpp] is unknown; did you mean http?"),
        ("[http]\nprot = 1\n", "http.prot is unknown; did you mean port?"),
        ("[http]\nport = 'x'\n", "http.port: Expected `int`, got `str`"),
        ("[http]\nport = 99999\n", "http.port: Expected `int` <= 65535"),
        ("[http]\nallow = ['10.0.0.0/99']\n", "http.allow: '10.0.0.0/99' does not appear to be"),
        ("[node]\nwatch_dir = 'relative'\n", "node.watch_dir"),
        ("[node]\nhost = '../etc'\n", "node.host"),
        ("[igniter]\ncommand = []\n", "igniter.command"),
        ("[switch]\nkill_grace_s = 0\n", "switch.kill_grace_s"),
        ("[collector]\nrole = 'boss'\n", "collector.role: Invalid enum value 'boss'; one of node, appliance"),
        ("port = 1\n", "port"),
        ("[http\n", "not TOML"),
        ("[switch]\nkill_grace_s = inf\n", "inf is not a number"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(path, environment={})
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flag", ["http.port", "port=1", "http.prot=1", "nothing"])
def test_a_wrong_flag_is_named(flag: str) -> None:
    with pytest.raises(ConfigError, match=r"--set|unknown"):
        load(None, environment={}, sets=[flag])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        load(tmp_path / "nowhere.toml", environment={})


SINK = "[[sink]]\nkind = 'opensearch'\nhosts = ['https://es:9200']\n"


def test_sinks_may_stand_several_times(tmp_path: Path) -> None:
    config = load(written(tmp_path, SINK + SINK + "name = 'other'\nbatch_documents = 10\n"), environment={})
    assert [(sink.name, sink.batch_documents) for sink in config.sink] == [("index", 1000), ("other", 10)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SINK + SINK, "2 sinks are called index"),
        (SINK + "hots = []\n", "sink.hots is unknown; did you mean hosts?"),
        (SINK.replace("https://es", "https://user:secret@es"), "without user or path"),
        (SINK + "username_file = '/x'\n", "username_file with password_file"),
        (
            SINK.replace("opensearch", "solr"),
            "sink[0].kind: Invalid enum value 'solr'; one of elasticsearch, opensearch",
        ),
        ("sink = 1\n", "written [[sink]]"),
    ],
)
def test_a_mistake_in_a_sink_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text), environment={})
    assert words in str(caught.value)


def test_only_modes_on_the_way_can_get_stuck() -> None:
    limits = {mode: NodeConfig().switch.timeout_s(mode) for mode in Mode}
    assert limits == {Mode.HLT: 0.0, Mode.ACTIVATING_CLOUD: 240.0, Mode.CLOUD: 0.0, Mode.DEACTIVATING_CLOUD: 120.0}
