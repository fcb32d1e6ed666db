"""What a machine needs to serve as a node, each need checked for real."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from contract.config import NodeConfig
from contract.errors import ConfigError, MountHangs
from contract.mount import Mount
from contract.networks import family_of
from contract.paths import TOKEN_STATES
from contract.secret_file import read_secret, read_token

LEAST_INOTIFY_INSTANCES: Final = 16
LEAST_OPEN_FILES: Final = 1024


class Finding(StrEnum):
    """How a check came out."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Check(msgspec.Struct, frozen=True):
    """One thing looked at, and in words what was found and what to do."""

    what: str
    finding: Finding
    words: str


def machine() -> Iterator[Check]:
    """Checks what any machine needs."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield _good_if("Python", sys.version_info >= (3, 11), version, f"{version}; 3.11 or newer is needed")
    yield _good_if("system", sys.platform == "linux", "Linux", f"{sys.platform}; only Linux is supported")
    yield _pidfd()
    yield _inotify()
    yield _open_files()


def node(config: NodeConfig) -> Iterator[Check]:
    """Checks what the node of `config` needs."""
    paths = config.paths
    yield _folder("node.watch_dir", paths.watch_dir)
    yield _folder("node.state_dir", paths.state_dir)
    yield _tokens(config)
    yield _mount(config)
    yield _program("igniter.command", config.igniter.command, Finding.WARNING, "without it every switch is refused")
    yield _program("jobs.command", config.jobs.command, Finding.WARNING, "no run can be worked on")
    if config.jobs.merge_command:
        yield _program("jobs.merge_command", config.jobs.merge_command, Finding.WARNING, "output is not merged")
    yield _port("http", config.http.bind, config.http.port)
    yield _port("collector.metrics", config.collector.metrics_bind, config.collector.metrics_port)
    yield _token_file(config)
    yield _tls_key(config)


def _good_if(what: str, good: bool, words: str, otherwise: str, finding: Finding = Finding.BAD) -> Check:
    return Check(what, Finding.GOOD, words) if good else Check(what, finding, otherwise)


def _pidfd() -> Check:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        return Check("pidfd", Finding.BAD, f"{error}; Linux 5.3 or newer is needed to see jobs end")
    return Check("pidfd", Finding.GOOD, "the kernel tells when a job ends")


def _inotify() -> Check:
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    try:
        instances = int(limit.read_text())
    except (OSError, ValueError):
        return Check("inotify", Finding.WARNING, f"{limit}: cannot be read; without inotify, looks every 5 s remain")
    words = f"{instances} instances for each user"
    more = f"{words}; sysctl fs.inotify.max_user_instances={LEAST_INOTIFY_INSTANCES} or more"
    return _good_if("inotify", instances >= LEAST_INOTIFY_INSTANCES, words, more, Finding.WARNING)


def _open_files() -> Check:
    import resource  # noqa: PLC0415 - Linux only, and the check for Linux comes first

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _good_if(
        "open files",
        soft >= LEAST_OPEN_FILES,
        f"{soft} for each process",
        f"{soft}; ulimit -n {LEAST_OPEN_FILES} or more",
        Finding.WARNING,
    )


def _folder(key: str, path: Path) -> Check:
    if not path.is_dir():
        return Check(key, Finding.BAD, f"{path}: no such folder; make it or set {key}")
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            pass
    except OSError as error:
        return Check(key, Finding.BAD, f"{path}: cannot be written ({error.strerror}); give this user the folder")
    return Check(key, Finding.GOOD, f"{path} can be written")


def _tokens(config: NodeConfig) -> Check:
    key, folder = "node.resources_dir", config.paths.resources_dir
    found = {state: len(list(config.paths.tokens(state).glob("core*"))) for state in TOKEN_STATES}
    total = sum(found.values())
    if not total:
        return Check(key, Finding.BAD, f"{folder}: no core token in any folder; make {folder}/idle/core0 and so on")
    words = ", ".join(f"{count} {state}" for state, count in found.items() if count)
    size = config.jobs.cores_per_job
    fits = total % size == 0
    return _good_if(
        key, fits, words, f"{words}: {total} is no multiple of jobs.cores_per_job = {size}; some idle", Finding.WARNING
    )


def _mount(config: NodeConfig) -> Check:
    key, folder = "node.bu_dir", config.paths.bu_dir
    mount = Mount(str(folder))
    try:
        there = mount.call(config.paths.bu.boxes.is_dir, timeout_s=config.switch.mount_timeout_s)
    except (MountHangs, OSError) as error:
        return Check(key, Finding.BAD, str(error))
    boxes = config.paths.bu.boxes
    return _good_if(key, there, f"{boxes} answers", f"{boxes}: no such folder; mount the BU's ramdisk or set {key}")


def _program(key: str, command: list[str], finding: Finding, consequence: str) -> Check:
    found = shutil.which(command[0])
    missing = f"{command[0]}: not there or not executable; {consequence}"
    return _good_if(key, found is not None, str(found), missing, finding)


def _port(key: str, host: str, port: int) -> Check:
    try:
        socket.create_server((host, port), family=family_of(host)).close()
    except OSError as error:
        words = f"{host}:{port}: {error.strerror}; a daemon of ours that serves already, or set {key}_port"
        return Check(f"{key} port", Finding.WARNING, words.replace("http_port", "http.port"))
    return Check(f"{key} port", Finding.GOOD, f"{host}:{port} is free")


def _token_file(config: NodeConfig) -> Check:
    key, name = "http.token_file", config.http.token_file
    if not name:
        return Check(key, Finding.WARNING, "none: who may reach the port may switch; http.allow is the only guard")
    return _secret(key, lambda: read_token(Path(name), key), f"{name} is a secret")


def _tls_key(config: NodeConfig) -> Check:
    key, name = "http.tls_key_file", config.http.tls_key_file
    if not name:
        return Check(key, Finding.GOOD, "none: the JSON API is spoken in plain text")
    return _secret(key, lambda: read_secret(Path(name), key), f"{name} is a secret")


def _secret(key: str, read: Callable[[], str], words: str) -> Check:
    try:
        read()
    except ConfigError as error:
        return Check(key, Finding.BAD, str(error))
    return Check(key, Finding.GOOD, words)
