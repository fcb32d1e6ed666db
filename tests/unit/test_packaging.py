"""The systemd units: what holds for both daemons, and what must not be taken from jobs and the cloud tool."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from contract.config import load
from contract.errors import ConfigError, HltmodeError

PACKAGING = Path(__file__).parents[2] / "packaging"
DAEMONS = ("switcher", "collector")
# What jobs (debuggers, containers, just-in-time compilers) or a cloud tool (sudo, mounts, /dev/kvm, modules) may need;
# everything that makes a mount namespace is among it.
NEEDED_BY_CHILDREN = {
    "NoNewPrivileges", "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "PrivateMounts", "ProtectClock",
    "ProtectControlGroups", "ProtectKernelModules", "ProtectKernelTunables", "ProtectKernelLogs", "ProtectProc",
    "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictSUIDSGID", "DevicePolicy", "DeviceAllow", "PrivateUsers",
    "PrivateNetwork", "User", "LimitNOFILE", "OOMScoreAdjust", "MemoryMax", "CPUQuota",
}  # fmt: skip


def unit(name: str) -> dict[str, list[str]]:
    """Returns the values of each key of a unit or drop-in."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (PACKAGING / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[key].append(value)
    return found


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_unit_starts_its_daemon_again_unless_only_a_person_can_help(daemon: str) -> None:
    keys = unit(f"hltmode-{daemon}.service")
    assert keys["ExecStart"] == [f"/opt/hltmode/bin/hltmode {daemon} run --config /etc/hltmode/node.toml"]
    assert keys["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert (keys["Restart"], keys["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert keys["RestartPreventExitStatus"] == [f"2 {ConfigError.exit_code}"]
    assert HltmodeError.exit_code not in (2, ConfigError.exit_code)
    assert keys["StateDirectory"] == ["hltmode"]


@pytest.mark.parametrize("service", ["follow", "serve"])
def test_systemd_never_gives_up_a_service_of_the_fleet(service: str) -> None:
    keys = unit(f"hltmode-fleet-{service}.service")
    assert keys["ExecStart"][0].startswith(f"/opt/hltmode/bin/hltmode fleet {service} ")
    assert (keys["Restart"], keys["StartLimitIntervalSec"]) == (["always"], ["0"])


def test_jobs_outlive_the_switcher_and_keep_their_rights() -> None:
    keys = unit("hltmode-switcher.service")
    assert keys["KillMode"] == ["process"]
    assert keys["OOMPolicy"] == ["continue"]
    assert not NEEDED_BY_CHILDREN & set(keys)
    for kept in ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_MODULE", "CAP_AUDIT_WRITE"):
        assert kept not in " ".join(keys["CapabilityBoundingSet"])
    assert keys["SystemCallFilter"][0].startswith("~")
    assert not re.search("@(debug|mount|module|process|setuid|privileged)", " ".join(keys["SystemCallFilter"]))


def test_the_collector_may_next_to_nothing() -> None:
    keys = unit("hltmode-collector.service")
    assert keys["CapabilityBoundingSet"] == [""]
    for key in ("NoNewPrivileges", "PrivateDevices", "MemoryDenyWriteExecute", "RestrictNamespaces"):
        assert keys[key] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"]
    assert keys["RestrictAddressFamilies"] == ["AF_UNIX AF_INET AF_INET6"]
    assert keys["SystemCallFilter"][0] == "@system-service"


@pytest.mark.parametrize("daemon", DAEMONS)
def test_systemd_itself_knows_every_word_of_a_unit(daemon: str, tmp_path: Path) -> None:
    """Where there is a systemd to ask; its words are few enough to be read by eye where there is none."""
    text = (PACKAGING / f"hltmode-{daemon}.service").read_text()
    (tmp_path / f"hltmode-{daemon}.service").write_text(text.replace("/opt/hltmode/bin/hltmode", "/bin/true"))
    if daemon == "switcher":
        folder = tmp_path / "hltmode-switcher.service.d"
        folder.mkdir()
        shutil.copy(PACKAGING / "hltmode-switcher-strict.conf", folder)
    for line in text.splitlines():
        assert not line or re.fullmatch(r"\[[A-Z][a-z]+\]|#.*|[A-Z][A-Za-z]+=.*", line), line
    if analyze := shutil.which("systemd-analyze"):
        found = subprocess.run(
            [analyze, "verify", f"{tmp_path}/hltmode-{daemon}.service"], capture_output=True, text=True, check=False
        )
        ours = [line for line in (found.stderr + found.stdout).splitlines() if "hltmode" in line]
        assert ours == []


def test_the_example_configuration_is_one() -> None:
    config = load(PACKAGING / "node.toml", environment={})
    assert config.http.allow == ["127.0.0.0/8", "::1/128"]
    assert unit("hltmode-switcher-strict.conf")["ReadWritePaths"] == ["/fff /etc/appliance/resources"]
    for folder in (config.node.watch_dir, config.node.bu_dir):
        assert folder.startswith("/fff")
    assert config.node.resources_dir == "/etc/appliance/resources"
