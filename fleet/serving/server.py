"""The server as a process: its port, its certificate, its names, and its end."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import resource
import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from contract.connection import Patience
from contract.door import EVERYBODY, Door, Terms
from contract.errors import HltmodeError, Surroundings, first_of
from fleet.client import connected
from fleet.farm import Farm
from fleet.serving.description import description
from fleet.serving.guard import LARGEST_BODY_BYTES, LOOPBACK_NAMES, Clients, page
from fleet.serving.routes import build
from fleet.serving.service import Service
from fleet.serving.streaming import Streams
from fleet.store import Store

log = logging.getLogger(__name__)

BACKLOG: Final = 1024
LAST_ANSWERS_S: Final = 1.0
OTHER_FILES: Final = 512
FILES_OF_NODE: Final = 3
LEAST_CONNECTIONS: Final = 256
CONNECTIONS_OF_STREAM: Final = 4
PATIENCE: Final = Patience(answer_s=120.0)  # a plan looks at every node, and waits for its turn
TERMS: Final = Terms(
    from_one=0.5,  # of a proxy come all readers of events, and their requests
    largest_body_bytes=LARGEST_BODY_BYTES,
    setting="--streams",
    page=page,
)


class Entrance(NamedTuple):
    """Where we listen, under which names, with which certificate, and how often nodes are looked at."""

    bind: str
    port: int
    names: tuple[str, ...]
    certificate: Path | None
    key: Path | None
    every_s: float
    streams: int

    @property
    def connections(self) -> int:
        """How many connections there may be, readers of events among them."""
        return max(LEAST_CONNECTIONS, CONNECTIONS_OF_STREAM * self.streams)


def run(farm: Farm, clients_token_file: Path | None, settings: Entrance) -> None:
    """Serves until SIGTERM or SIGINT. Raises ConfigError or Surroundings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    clients = Clients(clients_token_file)
    _allow_files(FILES_OF_NODE * len(farm.places) + settings.connections + OTHER_FILES)
    with closing(Store(farm.store)) as store:
        try:
            asyncio.run(_serve(farm, store, clients, settings))
        except* HltmodeError as group:
            raise first_of(group) from group


async def _serve(farm: Farm, store: Store, clients: Clients, settings: Entrance) -> None:
    secure = _secure(settings)
    entrance = _bind(settings)
    async with connected(farm.token, farm.trust) as lookers, connected(farm.token, farm.trust) as actors:
        service = Service(farm, store, lookers, actors, settings.every_s)
        streams = Streams(service, settings.streams)
        application = build(service, clients, streams, _names(settings), msgspec.json.encode(description()))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=LAST_ANSWERS_S)
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - a runner that is set up has one
        door = Door(server, EVERYBODY, settings.connections, PATIENCE, TERMS)
        door.listen(entrance, lambda: secure)
        serving = asyncio.ensure_future(service.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        gc.collect()
        gc.freeze()
        host, port = entrance.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        log.info("ready: http%s://%s:%d, %d nodes", "s" if secure else "", shown, port, len(farm.places))
        try:
            await serving
        except asyncio.CancelledError:
            log.info("ended; operations go on with the next start")
        finally:
            streams.close()
            await door.close()
            await runner.cleanup()


def _bind(settings: Entrance) -> socket.socket:
    """Takes the port before anybody is asked anything."""
    try:
        family = socket.AF_INET6 if ":" in settings.bind else socket.AF_INET
        return socket.create_server((settings.bind, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Surroundings(
            f"{settings.bind}:{settings.port}: cannot listen ({error.strerror}); see --bind and --port"
        ) from error


def _secure(settings: Entrance) -> ssl.SSLContext | None:
    if settings.certificate is None or settings.key is None:
        if not _loopback(settings.bind):
            log.warning("%s: tokens go in the clear; see --certificate and --key, or a proxy", settings.bind)
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except OSError as error:
        raise Surroundings(f"{settings.certificate}, {settings.key}: no certificate and key ({error})") from error
    return context


def _names(settings: Entrance) -> frozenset[str]:
    """Returns the names under which we may be called: a name of somebody else's that points here is none."""
    bound = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    own = set() if _loopback(settings.bind) else {socket.gethostname(), socket.getfqdn()}
    return frozenset({name.lower() for name in {bound, *settings.names, *own}}) | LOOPBACK_NAMES


def _loopback(bind: str) -> bool:
    try:
        return ipaddress.ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"


def _allow_files(wanted: int) -> None:
    """Lets this process have a connection to every node. Raises Surroundings when it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Surroundings(f"{wanted} open files wanted and {hard} allowed; raise the limit (ulimit -n, LimitNOFILE)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
