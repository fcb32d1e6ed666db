"""A policy file that is wrong is one line with file, key and remedy; one that is right says what it means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from contract.beam import BeamMode
from contract.errors import ConfigError
from fleet.follow.policy_file import check_farm, load
from hltmode.main import cli

EXAMPLE = Path(__file__).parents[2] / "packaging" / "policy.toml"
BEAM = '[beam]\nfile = "/run/beam"\n'
GAP = '[[rule]]\nmodes = ["NO BEAM"]\nwant = "cloud"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bean = 1\n" + BEAM + GAP, "bean is unknown; did you mean beam?"),
        (BEAM + "evry_s = 1\n" + GAP, "beam.evry_s is unknown; did you mean every_s?"),
        (BEAM + GAP + "aftr_s = 1\n", "rule[1].aftr_s is unknown; did you mean after_s?"),
        (BEAM + GAP + "after_s = -1\n", "rule[1].after_s: Expected `float` >= 0.0"),
        (BEAM + GAP.replace("NO BEAM", "NO BEEM"), "rule[1].modes: NO BEEM is no beam mode; did you mean NO BEAM?"),
        (BEAM + GAP.replace("cloud", "clowd"), "rule[1].want: clowd is no place for the farm; did you mean cloud?"),
        (
            BEAM + GAP + GAP.replace("cloud", "HLT"),
            "rule[2].modes: NO BEAM is in rule[1], which wants cloud and not HLT",
        ),
        (BEAM + GAP + GAP + "keep = 3\n", "rule[2].modes: NO BEAM is in rule[1], which differs; leave it in one"),
        (BEAM + GAP + GAP, "rule[2].modes: NO BEAM is in rule[1] already; leave it in one of them"),
        (BEAM + GAP.replace('"NO BEAM"', '"NO BEAM", "no_beam"'), "rule[1].modes: NO BEAM stands there twice"),
        (BEAM + GAP.replace("NO BEAM", "ADJUST"), "rule[1].modes: ADJUST wants the whole farm in HLT, whatever a rule"),
        (BEAM + GAP.replace("NO BEAM", "FLAT TOP .. ADJUST").replace("cloud", "stay"), "modes: ADJUST wants the whole"),
        (
            BEAM + GAP.replace("NO BEAM", "RAMP .. SETUP"),
            "rule[1].modes: RAMP .. SETUP: write FIRST .. LAST in the order",
        ),
        (BEAM + GAP.replace("cloud", "HLT") + "after_s = 60\n", "rule[1].after_s: only the way to the cloud waits"),
        (BEAM + GAP.replace("cloud", "HLT") + "keep = 1\n", "rule[1].keep: only the way to the cloud keeps nodes"),
        ("[beam]\n" + GAP, "beam: one of file, url, prometheus wanted, not none"),
        (BEAM + 'url = "http://a/b"\n' + GAP, "beam: one of file, url, prometheus wanted, not file and url"),
        ('[beam]\nurl = "ftp://a"\n' + GAP, "beam.url: ftp://a: write it as http://host:port/path"),
        (BEAM + "patience_s = 9\n" + GAP, "beam.patience_s: 9 is less than one look may take"),
        (BEAM + "patience_s = 901\n" + GAP, "beam.patience_s: Expected `float` <= 900.0"),
        ('[beam]\nurl = "http://a/b"\nmax_age_s = 60\n' + GAP, "beam.max_age_s: only a file has an age"),
        (BEAM + "[beam.names]\nX = 'Y'\n" + GAP, "beam.names.X: Y is no beam mode"),
        (BEAM + '[to_cloud]\nramp = ["5%", "1%"]\n' + GAP, "to_cloud.ramp: 1%: less than the stage before"),
        (BEAM, "file: lacks rule; write it"),
        ("=", "not TOML"),
        ("[turns]\nbetween_s = nan", "nan is not a number"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_the_remedy(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_modes_may_be_a_range_in_the_order_of_a_fill_in_any_spelling(tmp_path: Path) -> None:
    text = BEAM + '[[rule]]\nmodes = ["setup..Prepare_Ramp", "abort"]\nwant = "HLT"\n' + GAP + "after_s = 5\nkeep = 3\n"
    hlt, cloud = load(written(tmp_path, text)).policy.rules
    assert {BeamMode.SETUP, BeamMode.INJECTION_PHYSICS_BEAM, BeamMode.PREPARE_RAMP, BeamMode.ABORT} < hlt.modes
    assert len(hlt.modes) == 6
    assert (cloud.name, cloud.after_s, cloud.keep) == ("rule 2", 5.0, 3)


def test_a_rule_that_keeps_the_whole_farm_never_holds(tmp_path: Path) -> None:
    read = load(written(tmp_path, BEAM + GAP + "keep = 40\n"))
    check_farm(read, 41, "policy.toml")
    with pytest.raises(ConfigError, match=r"policy.toml: rule\[1\].keep: 40 of 40 nodes are kept"):
        check_farm(read, 40, "policy.toml")


def test_check_explains_the_example_for_every_beam_mode(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["fleet", "policy", "check", str(EXAMPLE), "--json"])
    assert answer.exit_code == 0, answer.output
    lines = {line["mode"]: line for line in map(json.loads, answer.output.splitlines())}
    assert list(lines) == [mode.value for mode in BeamMode]
    assert (lines["NO BEAM"]["want"], lines["NO BEAM"]["after_s"], lines["NO BEAM"]["keep"]) == ("cloud", 600.0, 100)
    assert {lines[mode]["want"] for mode in ("SETUP", "STABLE BEAMS", "ABORT")} == {"HLT"}
    shown = CliRunner().invoke(cli, ["fleet", "policy", "check", str(EXAMPLE)]).output
    assert "Without a known mode for 2 min, HLT is wanted at once." in shown
    early = written(tmp_path, BEAM + GAP.replace("NO BEAM", "SETUP"))
    assert "alerts after 30 min" in CliRunner().invoke(cli, ["fleet", "policy", "check", str(early)]).output


def test_the_example_is_held_against_a_farm(tmp_path: Path) -> None:
    nodes = tmp_path / "farm.txt"
    nodes.write_text("fu-1 bu-1\nfu-2 bu-1\n")
    answer = CliRunner().invoke(cli, ["fleet", "policy", "check", str(EXAMPLE), "--nodes", str(nodes)])
    assert isinstance(answer.exception, ConfigError)
    assert "100 of 2 nodes are kept" in str(answer.exception)
