"""One TOML file for a node, read by both daemons; every key has a default that works.

Above the file stand environment variables `HLTMODE_<SECTION>_<KEY>` (`HLTMODE_HTTP_PORT=9001`), above those the
flag `--set section.key=value`. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import socket
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from contract.errors import ConfigError
from contract.modes import Mode
from contract.networks import networks_of
from contract.paths import NodePaths
from contract.sink import Product, Sink, check_sinks
from contract.value_types import Command, Folder, HostName, NotNegative, Port, Positive

PREFIX: Final = "HLTMODE_"
Table = dict[str, Any]


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
    """The switcher's entrance. `allow` lists the networks whose requests are answered, loopback unless told.

    With a certificate the JSON API is spoken at `tls_port`, and at `port` with callers on this host only; the old CGI
    URLs stay at `port`. An address may ask `requests_per_s` times a second (0: as often as it likes), and hold a
    quarter of `connections`.
    """

    bind: str = "0.0.0.0"  # noqa: S104 - the farm's tools call from other hosts; `allow` guards the door
    port: Port = 9000
    allow: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])
    token_file: str = ""
    tls_port: Port = 9443
    tls_cert_file: str = ""
    tls_key_file: str = ""
    requests_per_s: NotNegative = 100.0
    connections: Annotated[int, msgspec.Meta(ge=16, le=4096)] = 256


class Igniter(msgspec.Struct, frozen=True, kw_only=True):
    """The cloud tool, called with start, stop or status as its last argument.

    A status question is answered within `status_timeout_s`; starts and stops within `timeout_s`. While VMs are up the
    tool is asked every `check_every_s` whether they still run.
    """

    command: Command = msgspec.field(default_factory=lambda: ["/usr/local/sbin/cloud-igniter.py"])
    timeout_s: Positive = 120.0
    status_timeout_s: Positive = 10.0
    check_every_s: Positive = 60.0


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


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """From when on the node or its collector is unwell: the collector exports these, and the alerts compare with them.

    Seconds; `mode_changes` are those of half an hour. A BU takes a node for stale whose clock is off by over 5 s, which
    is `clock_off_s`, and passes over a box older than 10 s, of which `box_age_s` leaves some for a restart.
    """

    box_age_s: Positive = 30.0
    clock_off_s: Positive = 5.0
    sample_age_s: Positive = 60.0
    backlog_age_s: Positive = 900.0
    mode_changes: Annotated[int, msgspec.Meta(ge=1)] = 6


class Role(StrEnum):
    """What a collector serves: its own node, or as a BU's agent every node whose box file lies on the BU."""

    NODE = "node"
    APPLIANCE = "appliance"


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """The telemetry agent. The log keeps box documents for `keep_days`, and no more than `keep_bytes` in all."""

    interval_s: Positive = 5.0
    metrics_bind: str = "0.0.0.0"  # noqa: S104 - Prometheus scrapes from another host
    metrics_port: Port = 9109
    keep_days: Positive = 30.0
    keep_bytes: Annotated[int, msgspec.Meta(ge=1 << 20)] = 1 << 30
    role: Role = Role.NODE


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file."""

    node: Node = msgspec.field(default_factory=Node)
    http: Http = msgspec.field(default_factory=Http)
    igniter: Igniter = msgspec.field(default_factory=Igniter)
    jobs: Jobs = msgspec.field(default_factory=Jobs)
    switch: Switch = msgspec.field(default_factory=Switch)
    limits: Limits = msgspec.field(default_factory=Limits)
    collector: Collector = msgspec.field(default_factory=Collector)
    sink: list[Sink] = msgspec.field(default_factory=list)

    @property
    def paths(self) -> NodePaths:
        """Where this node's files lie."""
        node = self.node
        return NodePaths(
            node.host, Path(node.watch_dir), Path(node.resources_dir), Path(node.bu_dir), Path(node.state_dir)
        )


WORDS: Final[Mapping[str, Iterable[str]]] = {"collector.role": list(Role), "sink.kind": list(Product)}


def load(path: Path | None, *, environment: Mapping[str, str] = os.environ, sets: Iterable[str] = ()) -> NodeConfig:
    """Returns the configuration of `path` (None: the defaults) under environment and flags. Raises ConfigError."""
    where = str(path) if path else "defaults"
    table = read_table(path) if path else {}
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
        raise ConfigError(f"{where}: {key.rstrip('`') or 'file'}: {message}{_allowed(key)}") from error
    check_sinks(config.sink, where)
    _check_http(config.http, where)
    return config


def _allowed(key: str) -> str:
    """Returns which words a key may have, as the end of an error's line, when only a few will do."""
    words = WORDS.get(re.sub(r"\[.*?\]", "", key.rstrip("`")), ())
    return f"; one of {', '.join(words)}" if words else ""


def read_table(path: Path, option: str = "--config") -> Table:
    """Returns what a TOML file holds; `option` names another. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file, parse_float=_finite)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name another with {option}") from error
    except (ValueError, RecursionError) as error:  # of which not all are TOMLDecodeErrors: numbers, dates, UTF-8
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number that anything here can be")
    return number


def _overlay(table: Table, section: str, key: str, text: str, source: str) -> None:
    """Sets section.key to `text` read as a TOML value, or as a plain word where it is none."""
    inner = table.setdefault(section, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"{source}: {section} is not a section")
    if not _is_unicode(text):
        raise ConfigError(f"{source}: not text in UTF-8")
    try:
        inner[key] = tomllib.loads(f"value = {text}", parse_float=_finite)["value"]
    except (ValueError, RecursionError):
        inner[key] = text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # bytes of a variable or flag that Python could only keep as they are
        return False
    return True


def _known_keys(table: Table, where: str) -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(NodeConfig)} | {"sink": Sink}
    for section, inner in table.items():
        if section not in sections:
            raise ConfigError(f"{where}: [{section}] is unknown{nearest(section, sections)}")
        tables = inner if section == "sink" else [inner]
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            written = "[[sink]]" if section == "sink" else f"[{section}]"
            raise ConfigError(f"{where}: {section} must be a section, written {written}")
        keys = sections[section].__struct_fields__
        for key in (key for each in tables for key in each):
            if key not in keys:
                raise ConfigError(f"{where}: {section}.{key} is unknown{nearest(key, keys)}")


def _check_http(http: Http, where: str) -> None:
    try:
        networks_of(http.allow)
    except ValueError as error:
        raise ConfigError(f"{where}: http.allow: {error}") from error
    if bool(http.tls_cert_file) is not bool(http.tls_key_file):
        raise ConfigError(f"{where}: http.tls_cert_file: name http.tls_key_file as well, or neither")
    if http.tls_cert_file and http.tls_port == http.port != 0:
        raise ConfigError(f"{where}: http.tls_port: {http.tls_port} is http.port already; TLS needs a port of its own")


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns what was perhaps meant by `word`, as the end of an error's line."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
