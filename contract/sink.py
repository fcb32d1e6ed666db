"""The index servers to which a collector ships, as the configuration names them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from contract.errors import ConfigError
from contract.value_types import Positive

ADDRESS: Final = re.compile(r"https?://[^/\s@]+")
ADDRESS_WANTED: Final = "write it as https://host:port, without user or path"


class Product(StrEnum):
    """Which server a sink writes to; each is spoken to through its own client."""

    ELASTICSEARCH = "elasticsearch"
    OPENSEARCH = "opensearch"


class Sink(msgspec.Struct, frozen=True, kw_only=True):
    """One index server to which documents are sent; `[[sink]]` may stand several times, each with its own cursor.

    `name` tells sinks apart in log lines, gauges and cursors. A secret is the first line of a file, or an environment
    variable; the keys name which.
    A backlog is worked off newest first, at `backlog_per_s` documents a second for each filter unit that the collector
    tells of. `hltd_form` also upserts the newest box of each host into `boxinfo_<subsystem>_write`, as hltd does.
    """

    kind: Product
    hosts: Annotated[list[str], msgspec.Meta(min_length=1)]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")] = "index"
    username_file: str = ""
    username_env: str = ""
    password_file: str = ""
    password_env: str = ""
    api_key_file: str = ""
    api_key_env: str = ""
    ca_file: str = ""
    timeout_s: Positive = 10.0
    batch_documents: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    batch_bytes: Annotated[int, msgspec.Meta(ge=1 << 10, le=50 << 20)] = 4 << 20
    backlog_per_s: Positive = 10.0
    hltd_form: bool = False


def check_sinks(sinks: Iterable[Sink], where: str) -> None:
    """Raises ConfigError when `sinks` of the file `where` contradict themselves or each other."""
    for name, count in Counter(sink.name for sink in sinks).items():
        if count > 1:
            raise ConfigError(f"{where}: sink.name: {count} sinks are called {name}; give each a name of its own")
    for sink in sinks:
        if bad := [host for host in sink.hosts if not ADDRESS.fullmatch(host)]:
            raise ConfigError(f"{where}: sink.hosts: {bad[0]}: {ADDRESS_WANTED}")
        if problem := _secrets_problem(sink):
            raise ConfigError(f"{where}: sink {sink.name}: {problem}")


def _secrets_problem(sink: Sink) -> str:
    user, password, key = (
        [name for name in (f"{what}_file", f"{what}_env") if getattr(sink, name)]
        for what in ("username", "password", "api_key")
    )
    if twice := next((names for names in (user, password, key) if len(names) > 1), None):
        return f"{twice[0]} or {twice[1]}, not both"
    if bool(user) is not bool(password) or (key and user):
        return "username_file with password_file, or api_key_file alone (or the same with _env)"
    return ""
