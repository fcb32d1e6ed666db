"""One TOML file for a node, read by both daemons; every key has a default that works.

Above the file stand environment variables `HLTMODE_<SECTION>_<KEY>` (`HLTMODE_HTTP_PORT=9001`), above those the
flag `--set section.key=value`. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import socket
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from contract.errors import ConfigError
from contract.modes import Mode
from contract.paths import NodePaths

PREFIX: Final = "HLTMODE_"
Table = dict[str, Any]

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Folder = Annotated[str, msgspec.Meta(pattern="^/")]
HostName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")]
Command = Annotated[list[str], msgspec.Meta(min_length=1)]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Who this node is and where its files lie."""

    host: HostName = msgspec.field(default_factory=lambda: socket.gethostname().split(".")[0])
    appliance: str = ""
    subsystem: str = "cdaq"
    watch_dir: Folder = "/fff/data"
    resources_dir: Folder = "/etc/appliance/resources"
    bu_dir: Folder = "/fff/BU0/ramdisk"
    state_dir: Folder = "/var/lib/hltmode"


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """The switcher's entrance. `allow` lists the networks whose requests are answered."""

    bind: str = "0.0.0.0"  # noqa: S104 - the farm's tools call from other hosts; `allow` guards the door
    port: Port = 9000
    allow: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])
    token_file: str = ""


class Igniter(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud tool, called with start, stop or status as its last argument.

    A status question is answered within `status_timeout_s`; starts and stops within `timeout_s`.
    """

    command: Command = msgspec.field(default_factory=lambda: ["/usr/local/sbin/cloud-igniter.py"])
    timeout_s: Positive = 120.0
    status_timeout_s: Positive = 10.0


class Jobs(msgspec.Struct, frozen=True, kw_only=True):
    """The CMSSW jobs and the merge script.

    Placeholders of both commands: {run} {run_dir} {bu_run_dir} {cores} {host}. A crashed job is started again after
    `restart_delay_s`, at most `max_restarts` times a run for the same cores.
    """

    command: Command = msgspec.field(default_factory=lambda: ["cmsRun"])
    merge_command: list[str] = msgspec.field(default_factory=lambda: ["anelastic.py"])
    cores_per_job: Annotated[int, msgspec.Meta(ge=1)] = 4
    extra_lumisections: Annotated[int, msgspec.Meta(ge=0)] = 2
    max_restarts: Annotated[int, msgspec.Meta(ge=0)] = 3
    restart_delay_s: NotNegative = 5.0


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """How long a switch may take before it is called stuck, in seconds; the defaults are what known callers wait.

    `kill_grace_s` lies between SIGTERM and SIGKILL on the ladder of a request with a deadline.
    """

    activating_timeout_s: Positive = 240.0
    deactivating_timeout_s: Positive = 120.0
    kill_grace_s: Positive = 10.0
    mount_timeout_s: Positive = 2.0

    def timeout_s(self, mode: Mode) -> float:
        """Returns after how many seconds in `mode` a node is called stuck; 0 for a mode that may last."""
        return {
            Mode.ACTIVATING_CLOUD: self.activating_timeout_s,
            Mode.DEACTIVATING_CLOUD: self.deactivating_timeout_s,
        }.get(mode, 0.0)


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """The telemetry agent. The log keeps documents for `keep_days`."""

    interval_s: Positive = 5.0
    metrics_bind: str = "0.0.0.0"  # noqa: S104 - Prometheus scrapes from another host
    metrics_port: Port = 9109
    keep_days: Positive = 30.0


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    node: Node = msgspec.field(default_factory=Node)
    http: Http = msgspec.field(default_factory=Http)
    igniter: Igniter = msgspec.field(default_factory=Igniter)
    jobs: Jobs = msgspec.field(default_factory=Jobs)
    switch: Switch = msgspec.field(default_factory=Switch)
    collector: Collector = msgspec.field(default_factory=Collector)

    @property
    def paths(self) -> NodePaths:
        """Where this node's files lie."""
        node = self.node
        return NodePaths(
            node.host, Path(node.watch_dir), Path(node.resources_dir), Path(node.bu_dir), Path(node.state_dir)
        )


def load(path: Path | None, *, environment: Mapping[str, str] = os.environ, sets: Iterable[str] = ()) -> NodeConfig:
    """Returns the configuration of `path` (None: the defaults) under environment and flags. Raises ConfigError."""
    where = str(path) if path else "defaults"
    table = _read(path) if path else {}
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX):
            section, _, key = name.removeprefix(PREFIX).lower().partition("_")
            if section in NodeConfig.__struct_fields__:
                _overlay(table, section, key, text, name)
    for flag in sets:
        dotted, equals, text = flag.partition("=")
        section, dot, key = dotted.strip().partition(".")
        if not (equals and dot):
            raise ConfigError(f"--set {flag}: write it as section.key=value")
        _overlay(table, section, key, text, f"--set {flag}")
    _known_keys(table, where)
    try:
        config = msgspec.convert(table, NodeConfig)
    except msgspec.ValidationError as error:
        message, _, key = str(error).partition(" - at `$.")
        raise ConfigError(f"{where}: {key.rstrip('`') or 'file'}: {message}") from error
    for network in config.http.allow:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(f"{where}: http.allow: {error}") from error
    return config


def _read(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name another with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _overlay(table: Table, section: str, key: str, text: str, source: str) -> None:
    """Sets section.key to `text` read as a TOML value, or as a plain word where it is none."""
    inner = table.setdefault(section, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"{source}: {section} is not a section")
    try:
        inner[key] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        inner[key] = text


def _known_keys(table: Table, where: str) -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(NodeConfig)}
    for section, inner in table.items():
        if section not in sections:
            raise ConfigError(f"{where}: [{section}] is unknown{_nearest(section, sections)}")
        if not isinstance(inner, dict):
            raise ConfigError(f"{where}: {section} must be a section, written [{section}]")
        keys = sections[section].__struct_fields__
        for key in inner:
            if key not in keys:
                raise ConfigError(f"{where}: {section}.{key} is unknown{_nearest(key, keys)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
