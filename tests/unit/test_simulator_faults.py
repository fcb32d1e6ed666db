"""The faults file: who misbehaves how, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import faults
from simulator.faults import BadFaults, Fault


def test_no_file_means_no_fault(tmp_path: Path) -> None:
    assert faults.read(None, "fu-01", "job") == Fault()
    assert faults.read(tmp_path / "faults.json", "fu-01", "job") == Fault()


def test_what_is_written_is_read_and_a_later_write_counts(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    faults.write(path, {"fu-01": {"job": {"behave": "crash", "exit": 139, "after_ls": 2, "print_bytes": 7}}})
    assert faults.read(path, "fu-01", "job") == Fault("crash", 0.0, 139, 2, 7)
    faults.write(path, {"fu-01": {"job": {"behave": "slow", "delay_s": 1.5}}})
    assert faults.read(path, "fu-01", "job") == Fault("slow", 1.5)


def test_star_is_every_node_and_the_own_name_goes_above_it() -> None:
    table = faults.parse('{"*": {"job": {"exit": 1}, "merge": {"exit": 2}}, "fu-01": {"job": {"exit": 3}}}', "here")
    assert faults.of(table, "fu-01", "job").exit_code == 3
    assert faults.of(table, "fu-01", "merge").exit_code == 2
    assert faults.of(table, "fu-02", "job").exit_code == 1
    assert faults.of(table, "fu-02", "status") == Fault()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[]", "an object wanted"),
        ('{"fu": {"cmssw": {}}}', "no program 'cmssw'; known are job, merge"),
        ('{"fu": {"job": {"behave": "lie"}}}', "cannot behave 'lie'; known are hang, crash, slow, ignore_stop"),
        ('{"fu": {"job": {"behave": ["hang"]}}}', "cannot behave"),
        ('{"fu": {"job": {"delay": 1}}}', "no key 'delay'; known are after_ls"),
        ('{"fu": {"job": {"behave": "slow"}}}', "slow wants a delay_s"),
        ('{"fu": {"stop": {"exit": true}}}', "exit: a whole number"),
        ('{"fu": {"stop": {"delay_s": "1"}}}', "delay_s: a number from 0 up"),
    ],
)
def test_wrong_file_is_named_with_entry_and_remedy(content: str, words: str) -> None:
    with pytest.raises(BadFaults, match=r"^here: ") as raised:
        faults.parse(content, "here")
    assert words in str(raised.value)


def test_wrong_faults_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(BadFaults):
        faults.write(tmp_path / "faults.json", {"fu": {"job": {"behave": "dance"}}})
    assert list(tmp_path.iterdir()) == []


def test_chatter_prints_as_many_bytes_as_told(capfd: pytest.CaptureFixture[str]) -> None:
    faults.chatter(Fault(print_bytes=2500))
    assert len(capfd.readouterr().out) == 2500
