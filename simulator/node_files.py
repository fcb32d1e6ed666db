"""Lays out the folders of a simulated filter unit and writes its configuration: all of it below one root."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from contract.config import NodeConfig, load
from contract.paths import NodePaths

PROGRAMS: Final = Path(__file__).parent


class NodeFiles(NamedTuple):
    """One laid-out filter unit: its configuration file, and where its faults are written."""

    host: str
    cores: int
    config: Path
    faults: Path

    def load(self) -> NodeConfig:
        """Returns the configuration as the daemons read it."""
        return load(self.config, environment={})

    @property
    def paths(self) -> NodePaths:
        """Where the node's files lie."""
        return self.load().paths


def lay_out(  # noqa: PLR0913 - each is a fact of a node
    root: Path,
    host: str,
    *,
    address: str = "127.0.0.1",
    port: int = 9000,
    metrics_port: int = 9109,
    cores: int = 8,
    appliance: str = "bu-sim01",
    ramdisk: Path | None = None,
    overlay: Mapping[str, Mapping[str, Any]] | None = None,
) -> NodeFiles:
    """Makes the folders of `host` below `root`, with `cores` idle core tokens, and writes its node.toml.

    `overlay` goes over the sections of the configuration, for what a test wants otherwise.
    """
    folder = root / host
    faults = root / "faults.json"
    ramdisk = ramdisk or root / "ramdisk"
    sections: dict[str, dict[str, Any]] = {
        "node": {
            "host": host,
            "appliance": appliance,
            "watch_dir": str(folder / "data"),
            "resources_dir": str(folder / "resources"),
            "bu_dir": str(ramdisk),
            "state_dir": str(folder / "state"),
        },
        "http": {"bind": address, "port": port},
        "igniter": {
            "command": [*program("cloud_tool.py"), "--state", str(folder / "vms"), *_faults(faults, host)],
            "timeout_s": 30,
        },
        "jobs": {
            "command": [*program("cmssw.py"), *_RUN, "--cores", "{cores}", *_faults(faults, host)],
            "merge_command": [*program("merge.py"), *_RUN, *_faults(faults, host)],
            "restart_delay_s": 1,
        },
        "collector": {"metrics_bind": address, "metrics_port": metrics_port},
    }
    for section, keys in (overlay or {}).items():
        sections.setdefault(section, {}).update(keys)
    for name in ("data", "state", "vms"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    idle = folder / "resources" / "idle"
    idle.mkdir(parents=True, exist_ok=True)
    for core in range(cores):
        (idle / f"core{core}").touch()
    (ramdisk / "appliance" / "boxes").mkdir(parents=True, exist_ok=True)
    config = folder / "node.toml"
    config.write_text("\n".join(_section(name, keys) for name, keys in sections.items()))
    return NodeFiles(host, cores, config, faults)


def program(name: str) -> list[str]:
    """Returns the command that runs one of the stand-ins, without the environment's packages: it starts at once."""
    return [sys.executable, "-S", "-E", str(PROGRAMS / name)]


_RUN: Final = ["--run", "{run}", "--run-dir", "{run_dir}", "--bu-run-dir", "{bu_run_dir}"]


def _faults(path: Path, host: str) -> list[str]:
    return ["--faults", str(path), "--node", host]


def _section(name: str, keys: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return str(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
