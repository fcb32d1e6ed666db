"""Files that hold a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from contract.config import load
from contract.errors import ConfigError
from contract.secret_file import read_secret, read_token
from contract.secrets import Secrets, read_secrets
from contract.sink import Product, Sink
from tests.integration.node import secret

GOOD = "0123456789abcdef"


def test_a_token_is_read_from_a_file_that_is_for_its_owner_or_group(tmp_path: Path) -> None:
    path = secret(tmp_path / "token", f"{GOOD}\n")
    assert read_token(path, "http.token_file") == GOOD
    path.chmod(0o640)
    assert read_token(path, "http.token_file") == GOOD
    (tmp_path / "link").symlink_to(path)
    assert read_token(tmp_path / "link", "http.token_file") == GOOD


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o620, 0o666])
def test_a_file_that_is_open_to_others_is_no_secret(tmp_path: Path, mode: int) -> None:
    path = secret(tmp_path / "token", GOOD)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"open to others \(mode {mode:04o}\); chmod 600; see http.token_file"):
        read_secret(path, "http.token_file")


@pytest.mark.parametrize("text", ["", "\n", "short", "fifteen-letters", "sixteen-letters-ü", "two\nlines-of-sixteen"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="openssl rand -hex 32") as caught:
        read_token(secret(tmp_path / "token", text), "http.token_file")
    assert not text.strip() or text not in str(caught.value)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing", Path("/dev/null")):
        with pytest.raises(ConfigError, match=f"^{path}: .*; see http.token_file$"):
            read_secret(path, "http.token_file")
    (tmp_path / "binary").write_bytes(b"\xff" * 20)
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(ConfigError, match="not text"):
        read_secret(tmp_path / "binary", "http.token_file")


# Of a sink


def sink_of(folder: Path, **files: str) -> Sink:
    named: dict[str, Any] = {key: str(folder / name) for key, name in files.items()}
    return Sink(name="central", kind=Product.OPENSEARCH, hosts=["http://x"], **named)


def test_a_sink_has_a_user_whom_all_may_know_and_a_password_that_is_a_secret(tmp_path: Path) -> None:
    secret(tmp_path / "user", " reader \nmore\n").chmod(0o644)
    path = secret(tmp_path / "password", "word\n")
    sink = sink_of(tmp_path, username_file="user", password_file="password")  # noqa: S106 - the name of a file
    assert read_secrets(sink) == Secrets(basic=("reader", "word"))
    assert read_secrets(sink_of(tmp_path, api_key_file="password")) == Secrets(api_key="word")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=r"\(mode 0644\); chmod 600; see password_file of sink central$"):
        read_secrets(sink)
    with pytest.raises(ConfigError, match=r"\(mode 0644\); chmod 600; see api_key_file of sink central$"):
        read_secrets(sink_of(tmp_path, api_key_file="password"))


def test_a_pipe_in_the_place_of_a_sinks_secret_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    secret(tmp_path / "word", "word")
    secret(tmp_path / "empty", "\n")
    for name, reason in (("pipe", "no regular file"), ("empty", "holds nothing"), ("none", "No such file")):
        for user, password in ((name, "word"), ("word", name)):
            with pytest.raises(ConfigError, match=f"^{tmp_path / name}: .*{reason}.*; see .* of sink central$"):
                read_secrets(sink_of(tmp_path, username_file=user, password_file=password))


def test_a_secret_of_a_sink_may_be_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink(kind=Product.OPENSEARCH, hosts=["http://x"], username_env="INDEX_USER", password_env="INDEX_WORD")  # noqa: S106
    monkeypatch.setenv("INDEX_USER", "reader\n")
    for unset in (None, " "):
        monkeypatch.delenv("INDEX_WORD", raising=False) if unset is None else monkeypatch.setenv("INDEX_WORD", unset)
        with pytest.raises(ConfigError, match=r"^environment variable INDEX_WORD: not set; see password_env of sink"):
            read_secrets(sink)
    monkeypatch.setenv("INDEX_WORD", "word")
    assert read_secrets(sink) == Secrets(basic=("reader", "word"))
    monkeypatch.setenv("INDEX_KEY", "a key")
    assert read_secrets(Sink(kind=Product.OPENSEARCH, hosts=["http://x"], api_key_env="INDEX_KEY")).api_key == "a key"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('password_file = "/p"\npassword_env = "P"\nusername_env = "U"', "password_file or password_env, not both"),
        ('username_env = "U"', "username_file with password_file"),
        ('username_env = "U"\npassword_file = "/p"\napi_key_env = "K"', "username_file with password_file"),
    ],
)
def test_a_secret_stands_in_one_place(tmp_path: Path, keys: str, problem: str) -> None:
    path = tmp_path / "node.toml"
    path.write_text(f'[[sink]]\nkind = "opensearch"\nhosts = ["http://h:1"]\n{keys}\n')
    with pytest.raises(ConfigError, match=problem):
        load(path)
