"""The entrance as a whole: its ports, taken before anything is touched, its certificate and its token."""

from __future__ import annotations

import logging
import resource
import socket
import ssl
from pathlib import Path
from typing import Final

from aiohttp import web

from contract.config import Http
from contract.door import Door
from contract.errors import ConfigError, Surroundings
from contract.networks import family_of
from contract.secret_file import read_secret, read_token
from switcher import http
from switcher.node import Switcher

log = logging.getLogger(__name__)

LAST_ANSWERS_S: Final = 1.0  # for callers whose request is under way at the end
BACKLOG: Final = 128
OTHER_FILES: Final = 512  # for jobs, cloud tool, folders, and connections that are turned away


class Entrance:
    """Takes ports, token and certificate when made; `open` lets callers in. Raises ConfigError, Surroundings."""

    def __init__(self, settings: Http) -> None:
        _check_files(settings)
        self._settings = settings
        self._rules = http.Rules(settings, _token(settings))
        self._tls = tls_context(settings)
        self._plain = listen(settings.bind, settings.port, "http.port")
        self._secure = listen(settings.bind, settings.tls_port, "http.tls_port") if self._tls else None
        self._rules.tls_port = self._secure.getsockname()[1] if self._secure else 0
        self._door: Door | None = None
        self._runner: web.AppRunner | None = None

    @property
    def urls(self) -> str:
        """Where it is found, for people."""
        ports = [("http", self._plain), ("https", self._secure)]
        return " and ".join(f"{scheme}://{_written(listening)}" for scheme, listening in ports if listening)

    async def open(self, switcher: Switcher) -> None:
        """Serves callers from now on."""
        runner = web.AppRunner(
            http.build(switcher, self._rules), access_log=None, logger=http.server_log, shutdown_timeout=LAST_ANSWERS_S
        )
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - a runner that is set up has one
        self._runner = runner
        self._door = Door(server, self._rules.allowed, self._settings.connections)
        self._door.listen(self._plain, lambda: None)
        if self._secure:
            self._door.listen(self._secure, lambda: self._tls)

    def reload(self, settings: Http) -> None:
        """Takes over networks, limits, token and certificate, all or nothing. Raises ConfigError.

        Ports stay as they are, and so does whether there is TLS at all.
        """
        _check_files(settings)
        token = _token(settings)
        tls = tls_context(settings)
        fixed = (settings.bind, settings.port, settings.tls_port, bool(tls))
        if fixed != (self._settings.bind, self._settings.port, self._settings.tls_port, bool(self._tls)):
            log.warning("changes of http.bind, http.port, http.tls_port, and TLS where none was, take a restart")
        if self._tls and tls:
            self._tls = tls
        self._rules.take_over(settings, token)
        if self._door:
            self._door.allowed, self._door.most = self._rules.allowed, settings.connections

    async def close(self) -> None:
        """Ends it; requests under way get a second."""
        if self._door:
            await self._door.close()
        if self._runner:
            await self._runner.cleanup()


def _check_files(settings: Http) -> None:
    """Raises ConfigError when connections could take every file that this process may open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and settings.connections > most - OTHER_FILES:
        raise ConfigError(
            f"http.connections: {settings.connections} and {OTHER_FILES} for all else are more than the {most} files "
            "that may be open; lower it or raise LimitNOFILE of the unit"
        )


def _token(settings: Http) -> str:
    return read_token(Path(settings.token_file), "http.token_file") if settings.token_file else ""


def tls_context(settings: Http) -> ssl.SSLContext | None:
    """Returns how to speak TLS, read anew from the files; None without a certificate. Raises ConfigError."""
    if not settings.tls_cert_file:
        return None
    read_secret(Path(settings.tls_key_file), "http.tls_key_file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")  # asks nobody
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", "") or getattr(error, "strerror", "") or error
        raise ConfigError(
            f"{settings.tls_cert_file}: no certificate with its key ({reason}); "
            "see http.tls_cert_file and http.tls_key_file"
        ) from error
    return context


def listen(bind: str, port: int, key: str) -> socket.socket:
    """Takes a port. `::` hears IPv4 callers as well."""
    try:
        both = bind == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((bind, port), family=family_of(bind), backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise Surroundings(f"{bind}:{port}: cannot listen ({error.strerror}); set http.bind and {key}") from error


def _written(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
