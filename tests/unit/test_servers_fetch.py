"""The cache of index servers: only whole and right archives get in; the plugin says what it left out."""

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from contract.errors import Surroundings
from tests.servers import fetch, programs
from tests.servers.releases import CACHE_VARIABLE, OPENSEARCH_3, Release

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Returns an empty cache, beside an empty home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def archived(repository: Path) -> Release:
    """Puts a small archive into a Maven repository and returns a release that it is the right archive of."""
    path = OPENSEARCH_3.archive(repository)
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        program = zipfile.ZipInfo(f"{OPENSEARCH_3.name}/bin/opensearch")
        program.external_attr = 0o100750 << 16
        archive.writestr(program, "#!/bin/sh\n")
        archive.writestr(f"{OPENSEARCH_3.name}/config/opensearch.yml", "")
    return msgspec.structs.replace(OPENSEARCH_3, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def test_an_archive_of_the_local_repository_is_unpacked(cache: Path) -> None:
    release = archived(cache.parent / ".m2" / "repository")
    fetch.fetch(release, lambda _: None)
    program = cache / release.name / "bin" / "opensearch"
    assert program.stat().st_mode & 0o777 == 0o755
    assert (cache / release.name / "config" / "opensearch.yml").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in cache.iterdir()] == [release.name]


def test_a_second_fetch_changes_nothing(cache: Path) -> None:
    release = archived(cache.parent / ".m2" / "repository")
    fetch.fetch(release, lambda _: None)
    said: list[str] = []
    fetch.fetch(release, said.append)
    assert said == [f"{release.name}: there"]


def test_an_archive_with_another_sum_is_not_taken(cache: Path) -> None:
    archived(cache.parent / ".m2" / "repository")
    assert fetch.whole_archive(OPENSEARCH_3, fetch.local_repositories()) is None


def test_maven_is_asked_for_by_name_where_it_lacks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(Surroundings, match="install the package maven"):
        fetch.fetch(OPENSEARCH_3, lambda _: None)


def test_a_download_that_fails_tells_what_maven_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    maven = cache / "mvn"
    maven.write_text("#!/bin/sh\necho '[ERROR] no such artifact'\nexit 1\n")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cache}:{os.defpath}")
    with pytest.raises(Surroundings, match="no such artifact"):
        fetch.fetch(OPENSEARCH_3, lambda _: None)


def test_what_lacks_is_said_with_the_remedy(cache: Path) -> None:
    assert fetch.lacking(OPENSEARCH_3) == f"opensearch-3.4.0 is not in {cache}: run `make servers`"


def session(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest with the plugin on one test that wants servers and one that does not, without servers."""
    (folder / "test_it.py").write_text(
        "import pytest\n\n"
        "def test_plain():\n    pass\n\n"
        "@pytest.mark.servers\ndef test_with_servers(opensearch3, prefix):\n    raise AssertionError\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | environment
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.servers.plugin", "-c", str(folder / "pytest.ini"), str(folder)],
        cwd=REPOSITORY,
        env=environment | {CACHE_VARIABLE: str(folder / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_servers_their_tests_are_left_out_and_named(tmp_path: Path) -> None:
    done = session(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 deselected" in done.stdout
    assert "1 tests left out in " in done.stdout
    assert "run `make servers`" in done.stdout


def test_without_servers_a_session_of_ci_fails_before_it_starts(tmp_path: Path) -> None:
    done = session(tmp_path, CI="true")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "CI runs every test, but " in said
    assert "opensearch-3.4.0 is not in" in said
    assert "passed" not in done.stdout


# The browser


def browser_session(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs pytest with the plugin on one test that wants a browser, on a machine that has none."""
    (folder / "test_it.py").write_text(
        "import pytest\n\n"
        "def test_plain():\n    pass\n\n"
        "@pytest.mark.browser\ndef test_with_browser():\n    raise AssertionError\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | environment
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.servers.plugin", "-c", str(folder / "pytest.ini"), str(folder)],
        cwd=REPOSITORY,
        env=environment | {"PATH": str(folder), CACHE_VARIABLE: str(folder / "empty")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_browser_its_tests_are_left_out_and_named(tmp_path: Path) -> None:
    done = browser_session(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 deselected" in done.stdout
    assert "chromium is not on this machine: run `make servers` as root, or install it" in done.stdout


def test_without_a_browser_a_session_of_ci_fails_before_it_starts(tmp_path: Path) -> None:
    done = browser_session(tmp_path, CI="true")
    assert done.returncode != 0
    assert "chromium is not on this machine" in done.stdout + done.stderr
    assert "passed" not in done.stdout


def apt_get(folder: Path, content: str) -> None:
    """Makes a stand-in for apt-get the only program there is."""
    program = folder / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{content}\n')
    program.chmod(0o755)


def test_root_has_the_browser_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path, f"test -e {tmp_path}/updated || {{ : > {tmp_path}/updated; exit 100; }}\n"
            f": > {tmp_path}/chromium; /bin/chmod 755 {tmp_path}/chromium")  # fmt: skip
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    programs.fetch_browser(lambda _: None)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [words.split()[0] for words in asked] == ["install", "update", "install"]
    assert asked[0].endswith(" chromium")
    said: list[str] = []
    programs.fetch_browser(said.append)
    assert said == ["chromium: there"]


def test_a_browser_that_can_not_be_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt_get(tmp_path, "echo 'E: Unable to locate package chromium' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    with pytest.raises(Surroundings, match="Unable to locate package chromium; install chromium by hand"):
        programs.fetch_browser(lambda _: None)


def test_who_is_not_root_hears_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said: list[str] = []
    programs.fetch_browser(said.append)
    assert said == ["chromium: install the package chromium; without it the tests with a browser are left out"]
