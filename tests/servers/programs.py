"""Prometheus, Alertmanager and their tools: found on this machine, or unpacked from Debian packages into the cache.

A package is only unpacked, never installed, so no service starts and nobody need be root. But for the browser: it needs
so many libraries that it must be installed, which only root can do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from contract.errors import Surroundings
from tests.servers.releases import cache_folder

HOW: Final = "make servers"
PROMETHEUS: Final = "prometheus"
PROMTOOL: Final = "promtool"
ALERTMANAGER: Final = "prometheus-alertmanager"
AMTOOL: Final = "amtool"
NODE_EXPORTER: Final = "prometheus-node-exporter"
BROWSER: Final = "chromium"

# The programs of each Debian package; tests need those of NEEDED.
PACKAGES: Final[Mapping[str, Sequence[str]]] = {
    "prometheus": (PROMETHEUS, PROMTOOL),
    "prometheus-alertmanager": (ALERTMANAGER, AMTOOL),
    "prometheus-node-exporter": (NODE_EXPORTER,),
}
NEEDED: Final = (PROMETHEUS, PROMTOOL, ALERTMANAGER, AMTOOL)
# What upstream and other distributions call them.
ALSO: Final[Mapping[str, str]] = {
    ALERTMANAGER: "alertmanager",
    NODE_EXPORTER: "node_exporter",
    BROWSER: "chromium-browser",
}


def folder() -> Path:
    """Returns the folder of the cache below which the packages are unpacked."""
    return cache_folder() / "programs"


def find(name: str) -> Path | None:
    """Returns the program, from the machine if it has it, else from the cache, or None."""
    for each in (name, ALSO.get(name, name)):
        if found := shutil.which(each):
            return Path(found)
    unpacked = folder() / "usr" / "bin" / name
    return unpacked if os.access(unpacked, os.X_OK) else None


def program(name: str) -> str:
    """Returns the program's path. Raises Surroundings with the remedy."""
    if found := find(name):
        return str(found)
    raise Surroundings(lack_words(name))


def lack_words(name: str) -> str:
    """Returns the one line about a program that is not to be found."""
    return f"{name} is neither on this machine nor in {folder()}: run `{HOW}`"


def lacking() -> list[str]:
    """Returns in a few words each what the tests lack here."""
    return [lack_words(name) for name in NEEDED if find(name) is None]


def lacking_browser() -> list[str]:
    """Returns in a few words what the tests with a browser lack here."""
    return [] if find(BROWSER) else [f"{BROWSER} is not on this machine: run `{HOW}` as root, or install it"]


def fetch_browser(say: Callable[[str], None]) -> None:
    """Installs the browser if the machine lacks it and we may; else says what to install. Raises Surroundings."""
    if find(BROWSER):
        say(f"{BROWSER}: there")
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        say(f"{BROWSER}: install the package {BROWSER}; without it the tests with a browser are left out")
        return
    say(f"{BROWSER}: is installed from the Debian package")
    command = ["apt-get", "install", "--quiet", "-y", "--no-install-recommends", BROWSER]
    done = run(command, Path("/"))
    if done.returncode:
        run(["apt-get", "update", "--quiet"], Path("/"))
        done = run(command, Path("/"))
    if done.returncode or find(BROWSER) is None:
        words = (done.stderr.strip() or "it brought no program").splitlines()[-1]
        raise Surroundings(f"apt-get install {BROWSER}: {words}; install {BROWSER} by hand")


def fetch(say: Callable[[str], None]) -> None:
    """Unpacks the packages whose programs the machine lacks. Raises Surroundings."""
    for package, programs in PACKAGES.items():
        if all(map(find, programs)):
            say(f"{package}: there")
            continue
        say(f"{package}: comes from the Debian package")
        unpack(package)
        if lack := next((name for name in programs if find(name) is None), None):
            raise Surroundings(f"{package}: the package brought no {lack}; install the program by hand")


def unpack(package: str) -> None:
    """Downloads a Debian package and unpacks it into the cache. Raises Surroundings."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Surroundings(f"{package} is fetched with {tool}, which is not to be found: install {package} by hand")
    with tempfile.TemporaryDirectory(prefix=f"{package}-") as work:
        # root's own files are not readable for the user to whom apt would hand the download
        command = ["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", package]
        done = run(command, Path(work))
        if done.returncode and os.geteuid() == 0:
            run(["apt-get", "update", "--quiet"], Path(work))
            done = run(command, Path(work))
        archives = list(Path(work).glob("*.deb"))
        if done.returncode or not archives:
            words = (done.stderr.strip() or "no package came").splitlines()[-1]
            raise Surroundings(f"apt-get download {package}: {words}; install {package} by hand")
        content = Path(work) / "content"
        done = run(["dpkg-deb", "--extract", str(archives[0]), str(content)], Path(work))
        if done.returncode:
            raise Surroundings(f"{archives[0].name}: {done.stderr.strip()}")
        target = folder() / "usr" / "bin"
        target.mkdir(parents=True, exist_ok=True)
        for name in PACKAGES[package]:
            if (source := content / "usr" / "bin" / name).is_file():
                new = target / f".{name}.new"
                shutil.copyfile(source, new)
                new.chmod(0o755)
                new.replace(target / name)


def run(command: Sequence[str], work: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command in `work` and returns what came of it."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(
        command, cwd=work, env=quiet, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
