"""Starts one index server, or a cluster of them, on loopback ports in a folder of its own, and ends it by pid."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import psutil

from contract.errors import Surroundings, TimedOut
from tests.ports import free_port
from tests.servers import settings
from tests.servers.certificates import make_certificates
from tests.servers.fetch import lacking
from tests.servers.java import Java, find_java
from tests.servers.releases import Product, Release, unpacked
from tests.servers.settings import ADMIN, LOOPBACK, ROLES, USERS, Peer, Ports, User

UP_WITHIN_S: Final = 120.0
ENDED_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.1
LOG_TAIL_LINES: Final = 25
NOBODY: Final = "nobody"


class Security(msgspec.Struct, frozen=True):
    """Users, roles and TLS of a secured Elasticsearch."""

    users: Sequence[User] = USERS
    roles: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=lambda: ROLES)
    expired_certificate: bool = False


class IndexServer:
    """One server of a release. As a context it is up, and its folder is removed at the end.

    `stop` (or `kill`) and `start` may follow each other: port and data stay the same. Start it from a thread that lives
    as long as it: when that thread ends, so does the server, and none is left behind by a test that was killed.
    """

    def __init__(
        self,
        release: Release,
        *,
        heap_mb: int = 512,
        extra: Mapping[str, Any] | None = None,
        security: Security | None = None,
        java_options: Sequence[str] = (),
        peers: Callable[[], Sequence[Peer]] = tuple,
        name: str = "node-1",
    ) -> None:
        self.release = release
        self.name = name
        self.ports = Ports(free_port(), free_port())
        self.users: Mapping[str, User] = {user.name: user for user in security.users} if security else {}
        self.ca_file: Path | None = None
        self._heap = settings.heap_options(heap_mb, java_options)
        self._extra = dict(extra or {})
        self._security = security
        self._peers = peers
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def product(self) -> Product:
        """OpenSearch or Elasticsearch."""
        return self.release.product

    @property
    def version(self) -> str:
        """The server's version."""
        return self.release.version

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{'https' if self._security else 'http'}://{LOOPBACK}:{self.ports.http}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that was started; for Elasticsearch the server is its child."""
        assert self._process is not None
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Its home, with the folders config, data and logs."""
        assert self._folder is not None
        return self._folder / "home"

    @property
    def log(self) -> str:
        """What the process has put out so far, over all starts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    @property
    def _log_file(self) -> Path:
        assert self._folder is not None
        return self._folder / "output.log"

    def start(self, timeout_s: float = UP_WITHIN_S) -> Self:
        """Starts the server and waits until it is up. Raises Surroundings or TimedOut, with the end of its log."""
        self.launch()
        try:
            self.wait_up(timeout_s)
        except BaseException:
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Starts the server and does not wait. Raises Surroundings."""
        assert not self.running, f"{self.release.name} already runs"
        if lack := lacking(self.release):
            raise Surroundings(lack)
        java = find_java(self.release)
        assert java is not None
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"{self.release.name}-"))
            self._lay_out(self._folder, java)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [*as_another_user(), str(self.folder / "bin" / self.product.value)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=self._environment(java),
                start_new_session=True,
            )

    def wait_up(self, timeout_s: float = UP_WITHIN_S, nodes: int = 1) -> None:
        """Waits until so many nodes are there and no shard lacks its primary. Raises Surroundings or TimedOut."""
        end_s = time.monotonic() + timeout_s
        path = f"/_cluster/health?wait_for_status=yellow&wait_for_nodes=>={nodes}&timeout=1s"
        while True:
            if not self.running:
                raise Surroundings(f"{self.release.name} ended before it was up:\n{self._log_tail()}")
            try:
                if self.ask(path).get("timed_out") is False:
                    return
            except (OSError, ValueError):  # not listening yet, or not able to answer yet
                pass
            if time.monotonic() > end_s:
                raise TimedOut(f"{self.release.name} was not up within {timeout_s:g} s:\n{self._log_tail()}")
            time.sleep(LOOK_EVERY_S)

    def ask(self, path: str, body: object = None, method: str | None = None) -> dict[str, Any]:
        """Returns the answer to a request of the tests' own, made as admin and without a client. Raises OSError."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        context = None
        if self._security is not None:
            admin = self.users.get(ADMIN.name, ADMIN)
            told = b64encode(f"{admin.name}:{admin.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {told}")
            context = ssl._create_unverified_context()  # noqa: S323 - the certificate may be an expired one
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            content: dict[str, Any] = json.load(answer)
        return content

    def stop(self) -> None:
        """Has the server end in good order, and kills it if it does not."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kills the server at once, as a crash would."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """Kills the server if it runs and removes its folder."""
        self.kill()
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        group = living(self._process.pid)
        for process in group if how is signal.SIGKILL else group[:1]:
            send(process, how)
        gone = wait_gone(group, self._process, ENDED_WITHIN_S)
        if not gone:
            for process in group:
                send(process, signal.SIGKILL)
            wait_gone(group, self._process, ENDED_WITHIN_S)
        self._process.wait()
        self._process = None

    def _lay_out(self, base: Path, java: Java) -> None:
        """Makes a home that shares its program files with the cache and has everything else for itself."""
        home = base / "home"
        source = unpacked(self.release)
        shutil.copytree(source, home, copy_function=link_or_copy, ignore=shutil.ignore_patterns("config", "*.exe"))
        config = home / "config"
        shutil.copytree(source / "config", config)
        if java.home.is_relative_to(source.parent):
            # the cache may lie in a home that the server's user cannot enter
            shutil.copytree(java.home, base / "java", copy_function=link_or_copy, symlinks=True)
        options = config / "jvm.options"
        options.write_text(settings.jvm_options_for(java, options.read_text()))
        (config / "jvm.options.d" / "tests.options").write_text(self._heap)
        own = settings.node_settings(
            self.product,
            self.name,
            self.ports,
            peers=self._peers(),
            secured=self._security is not None,
            extra=self._extra,
        )
        (config / f"{self.product.value}.yml").write_text(settings.as_yaml(own))
        for folder in (home / "data", home / "logs", base / "tmp"):
            folder.mkdir(exist_ok=True)
        if self._security is not None:
            self._lay_out_security(base, config, self._security)
        if os.geteuid() == 0:
            give_away(base, keep=(home / "lib", home / "modules", home / "bin", home / "agent", base / "java"))

    def _lay_out_security(self, base: Path, config: Path, security: Security) -> None:
        self.ca_file = make_certificates(base / "certificates", expired=security.expired_certificate)
        for name in ("server.pem", "server.key"):
            shutil.copy(self.ca_file.with_name(name), config / name)
        (config / "roles.yml").write_text(settings.as_yaml(security.roles))
        (config / "users").write_text(settings.users_file(security.users))
        (config / "users_roles").write_text(settings.users_roles_file(security.users))

    def _environment(self, java: Java) -> dict[str, str]:
        assert self._folder is not None
        own_java = self._folder / "java"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            f"{self.product.prefix}_JAVA_HOME": str(own_java if own_java.exists() else java.home),
            f"{self.product.prefix}_TMPDIR": str(self._folder / "tmp"),
        }

    def _log_tail(self) -> str:
        return "\n".join(self.log.splitlines()[-LOG_TAIL_LINES:])


class IndexCluster:
    """A cluster of several nodes of one release. As a context all nodes are up; `nodes[1].kill()` takes one away."""

    def __init__(
        self, release: Release, *, nodes: int = 3, heap_mb: int = 512, extra: Mapping[str, Any] | None = None
    ) -> None:
        self.nodes = [
            IndexServer(release, heap_mb=heap_mb, extra=extra, peers=self._peers, name=f"node-{number}")
            for number in range(1, nodes + 1)
        ]

    @property
    def urls(self) -> list[str]:
        """Where clients find the nodes."""
        return [node.url for node in self.nodes]

    def _peers(self) -> list[Peer]:
        return [Peer(node.name, node.ports.transport) for node in self.nodes]

    def start(self, timeout_s: float = UP_WITHIN_S) -> Self:
        """Starts all nodes at once and waits until each sees all. Raises Surroundings or TimedOut."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_up(timeout_s, nodes=len(self.nodes))
        return self

    def remove(self) -> None:
        """Kills all nodes and removes their folders."""
        for node in self.nodes:
            node.remove()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def as_another_user() -> list[str]:
    """Returns what begins the command: the server ends with its starter, and is not root, as which it won't run."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Surroundings("servers are started with setpriv, which is not to be found: install the package util-linux")
    command = [setpriv, "--pdeathsig", "TERM"]
    if os.geteuid() == 0:
        user = pwd.getpwnam(NOBODY)
        command += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return command


def give_away(base: Path, keep: Sequence[Path]) -> None:
    """Gives `base` and what is in it to the unprivileged user, except what is shared with the cache."""
    user = pwd.getpwnam(NOBODY)
    for folder, names, files in os.walk(base):
        names[:] = [name for name in names if Path(folder, name) not in keep]
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            if path.stat().st_nlink == 1 or path.is_dir():
                os.chown(path, user.pw_uid, user.pw_gid)


def link_or_copy(source: str, target: str) -> None:
    """Makes `target` the same file as `source`, or a copy when they are on different disks."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def living(pid: int) -> list[psutil.Process]:
    """Returns the process, if it lives, and those it has started."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def send(process: psutil.Process, how: signal.Signals) -> None:
    """Sends a signal to a process that may be gone."""
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        return


def wait_gone(group: Sequence[psutil.Process], own: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Waits until none of the processes runs and returns whether that came true; `own` is reaped."""
    end_s = time.monotonic() + timeout_s
    while any(map(runs, group)):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
        own.poll()
    return True


def runs(process: psutil.Process) -> bool:
    """Returns whether a process is more than an entry in the table."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
