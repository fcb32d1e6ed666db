"""Serves the farm: nodes at their addresses, and the truth at the control address.

Every node runs the real machine; what is simulated are its jobs, its merge script, its cloud tool, and its faults.
What really happened to each is told at the control address, by `GET /truth`.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import ipaddress
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from contract.errors import HltmodeError, Surroundings
from contract.heads import LARGEST_BODY_BYTES
from contract.paths import RunRef
from simulator.node_farm.clock import LoopClock
from simulator.node_farm.entrance import Entrance
from simulator.node_farm.faults import Fault, deal
from simulator.node_farm.node import FarmNode
from simulator.node_farm.small_http import Asked, Connection, Handler, Page, Respond
from simulator.node_farm.work import CORES, FarmRun
from switcher.view import Identity

NODES_OF_APPLIANCE: Final = 20
RUN: Final = RunRef(398_123)
BACKLOG: Final = 128
OTHER_FILES: Final = 64
CONTROL_ADDRESS: Final = "127.0.0.1"
LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")


class BadAddress(HltmodeError):
    """An address at which no simulated node may be; the message says which."""

    exit_code = 2


class Settings(NamedTuple):
    """What the farm is like. Port 0 gives each node a port of its own; without `control` nobody is told the truth."""

    nodes: int
    first: str
    port: int
    speed: float
    faults: str
    seed: int
    hosts: Path | None = None
    control: int | None = None


class Place(NamedTuple):
    """A node's name, appliance and address, and the socket that holds it."""

    host: str
    appliance: str
    socket: socket.socket

    @property
    def address(self) -> str:
        """Where it answers: `address:port`."""
        return _address(self.socket)


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises BadAddress, BadMix or Surroundings."""
    _allow_files(2 * settings.nodes + OTHER_FILES)
    faults = deal(settings.faults, settings.nodes, settings.seed)
    asyncio.run(_serve(settings, faults))


def names(number: int) -> tuple[str, str]:
    """Returns host and appliance of the node `number`, counted from 0."""
    rack, place = divmod(number, 2 * NODES_OF_APPLIANCE)
    host = f"fu-c2f{rack + 1:02d}-{place // 8 + 1:02d}-{place % 8 + 1:02d}"
    return host, f"bu-c2f{number // NODES_OF_APPLIANCE + 1:02d}"


async def _serve(settings: Settings, faults: list[Fault]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clock = LoopClock(loop, settings.speed)
    farm_run = FarmRun(clock, RUN)
    nodes: dict[str, FarmNode] = {}
    places = list(_places(settings))
    for place, fault in zip(places, faults, strict=True):
        node = FarmNode(_identity(place), fault, farm_run, clock, settings.seed)
        nodes[place.host] = node
        node.start()
        if fault is not Fault.DEAD:  # a socket that holds the address and doesn't listen refuses connections
            await _listen(place.socket, Entrance(node, clock).handle)
    told = ""
    if settings.control is not None:
        control = _bind(CONTROL_ADDRESS, settings.control, "--control")
        await _listen(control, functools.partial(_tell, nodes))
        told = f", the truth at http://{_address(control)}/truth"
    if settings.hosts is not None:
        _write_hosts(settings.hosts, places)
    gc.collect()
    gc.freeze()
    print(f"ready: {len(places)} nodes, {places[0].address} to {places[-1].address}{told}", flush=True)
    await stop.wait()


def _places(settings: Settings) -> Iterator[Place]:
    try:
        first = ipaddress.IPv4Address(settings.first)
        last = first + (settings.nodes - 1)
    except ipaddress.AddressValueError as error:
        raise BadAddress(f"--first: {settings.first}: no IPv4 address with room for the nodes ({error})") from error
    if first not in LOOPBACK or last not in LOOPBACK:
        raise BadAddress(f"--first: {first} to {last}: loopback addresses only, such as 127.1.0.1")
    for number in range(settings.nodes):
        host, appliance = names(number)
        yield Place(host, appliance, _bind(str(first + number), settings.port, "--first and --port"))


def _identity(place: Place) -> Identity:
    return Identity(
        host=place.host,
        appliance=place.appliance,
        ip=place.address.partition(":")[0],
        cpu_name="simulated",
        phys_cores=CORES,
        hyperthreads=CORES,
    )


def _bind(address: str, port: int, option: str) -> socket.socket:
    entrance = socket.socket()
    try:
        entrance.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        entrance.bind((address, port))
    except OSError as error:
        entrance.close()
        raise Surroundings(f"{address}:{port}: cannot listen ({error.strerror}); see {option}") from error
    return entrance


async def _listen(entrance: socket.socket, handle: Handler) -> None:
    entrance.settimeout(0)
    loop = asyncio.get_running_loop()
    try:
        await loop.create_server(lambda: Connection(handle, LARGEST_BODY_BYTES), sock=entrance, backlog=BACKLOG)
    except OSError as error:
        raise Surroundings(f"{_address(entrance)}: cannot listen ({error.strerror}); see --port") from error


def _tell(nodes: dict[str, FarmNode], asked: Asked, respond: Respond) -> None:
    if asked.path != "/truth":
        respond(Page(404, b"only /truth is here\n"))
        return
    truth = {host: node.truth() for host, node in nodes.items()}
    respond(Page(200, msgspec.json.encode(truth) + b"\n", "application/json"))


def _write_hosts(path: Path, places: list[Place]) -> None:
    try:
        path.write_text("".join(f"{place.host} {place.appliance} {place.address}\n" for place in places))
    except OSError as error:
        raise Surroundings(f"{path}: cannot be written ({error.strerror}); see --hosts") from error


def _allow_files(wanted: int) -> None:
    """Lets this process open as many files as it may. Raises Surroundings when these are too few."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Surroundings(f"{wanted} open files wanted and {hard} allowed; raise the limit (ulimit -n) or see --nodes")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _address(entrance: socket.socket) -> str:
    host, port = entrance.getsockname()
    return f"{host}:{port}"
