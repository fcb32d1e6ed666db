"""A simulated farm that lives: real collectors over simulated box files, a real Prometheus, and real index servers.

Nine appliances are served by a collector each, and two nodes with a long past by their own. Everything goes ten times
faster than in a real farm, so the rules are evaluated every second.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import yaml

from contract.beam import BeamMode
from contract.journal import PHASES, Journal, SwitchRecord
from contract.metric_names import BEAM_MODE
from contract.modefile import write_mode
from contract.modes import Mode, Wanted
from contract.times import iso
from dashboards.rules.files import files as rule_files
from dashboards.rules.recording import JOB
from simulator.daemons import Daemon
from simulator.many_nodes import ManyNodes
from simulator.node_files import NodeFiles, lay_out
from tests.ports import free_port
from tests.servers.listener import Listener
from tests.servers.prometheus import PrometheusServer
from tests.servers.server import IndexServer

APPLIANCES: Final = 9
NODES: Final = 22
SUBSYSTEM: Final = "panels"
PATTERN: Final = f"hltmode-*-{SUBSYSTEM}*"
PAST_DAYS: Final = 9
SWITCHES_A_DAY: Final = 20
LIMIT_S: Final = 8.0
SCRAPE_S: Final = 1.0
DAY_S: Final = 86_400.0
TROUBLED: Final = "fu-c2f99-01-01"
LOST: Final = "fu-c2f99-01-02"
NOWHERE: Final = "nowhere"
KEEPS_S: Final = 15.0
STEPS_AFTER_S: Final = 20.0
STEPS_BY_S: Final = 3.0
STEPS: Final = """\
import time
real = time.time
time.time = lambda: real() + ({by_s} if real() > {at_s} else 0.0)
"""
PEOPLE: Final = (("run-coordinator", "fill ended"), ("cloud-policy", "RAMP DOWN for 10 minutes"), ("shift", "test"))
SPEEDS: Final = {
    "collector": {"interval_s": 1.0},
    "switch": {"activating_timeout_s": LIMIT_S, "deactivating_timeout_s": LIMIT_S / 2},
}


class LivingFarm:
    """The farm below `root`, whose documents go to `stores`. As a context it lives."""

    def __init__(
        self, root: Path, stores: Sequence[IndexServer], appliances: int = APPLIANCES, nodes: int = NODES
    ) -> None:
        self.root = root
        self.began_s = time.time()
        self.many = ManyNodes(root / "ramdisks", appliances, nodes, self.began_s)
        self.agents: dict[str, Daemon] = {}
        self._stores = stores
        self._ports: dict[str, tuple[str, int]] = {}
        self._exits = ExitStack()
        self._ending = threading.Event()
        self._beam = Listener(beam_page(BeamMode.RAMP_DOWN))
        self.prometheus = PrometheusServer(self._configuration(), root / "prometheus")

    def lose(self, host: str) -> None:
        """Kills the collector of `host`."""
        self.agents[host].kill()

    def _configuration(self) -> str:
        self._plan_agents()
        for name, content in rule_files().items():
            path = self.root / "prometheus" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.replace("interval: 15s", "interval: 1s"))
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"host": host, "appliance": appliance}}
            for host, (appliance, port) in self._ports.items()
        ]
        return yaml.safe_dump(
            {
                "global": {"scrape_interval": f"{SCRAPE_S:g}s"},
                "rule_files": list(rule_files()),
                "scrape_configs": [
                    {"job_name": JOB, "honor_labels": True, "static_configs": targets},
                    {"job_name": "beam", "static_configs": [{"targets": [f"127.0.0.1:{self._beam.port}"]}]},
                ],
            }
        )

    def _plan_agents(self) -> None:
        for appliance in sorted({node.appliance for node in self.many.nodes}):
            self._ports[appliance] = (appliance, free_port())
        for host in (TROUBLED, LOST):
            self._ports[host] = ("bu-c2f99", free_port())

    def __enter__(self) -> Self:
        self._exits.enter_context(self._beam)
        self.many.step(time.time())
        for host, (appliance, port) in self._ports.items():
            self._start_agent(host, appliance, port)
        for agent in self.agents.values():
            agent.wait_ready()
        self._exits.enter_context(self.prometheus)
        thread = threading.Thread(target=self._live, name="living farm", daemon=True)
        thread.start()
        self._exits.callback(thread.join)
        self._exits.callback(self._ending.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _live(self) -> None:
        while not self._ending.wait(1.0):
            self.many.step(time.time())

    def _start_agent(self, host: str, appliance: str, port: int) -> None:
        of_appliance = host == appliance
        keeps = {"keep_days": KEEPS_S / DAY_S} if host == TROUBLED else {}
        overlay: dict[str, Mapping[str, Any]] = {
            "collector": SPEEDS["collector"] | {"role": "appliance" if of_appliance else "node"} | keeps,
            "switch": SPEEDS["switch"],
            "node": {"subsystem": SUBSYSTEM},
        }
        laid = lay_out(
            self.root / "agents", host, appliance=appliance, metrics_port=port,
            ramdisk=self.many.ramdisk(appliance), overlay=overlay,
        )  # fmt: skip
        with laid.config.open("a") as file:
            for store in self._stores:
                file.write(
                    f'[[sink]]\nkind = "{store.product.value}"\nname = "{store.product.value}"\n'
                    f'hosts = ["{store.url}"]\nbacklog_per_s = 10000\n'
                )
        if not of_appliance:
            give_past(laid, self.began_s)
        environment = trouble(laid, self.began_s) if host == TROUBLED else {}
        log = self.root / f"{host}.log"
        agent = Daemon(host, ["collector", "run", "--config", str(laid.config)], log, environment)
        self.agents[host] = agent
        self._exits.callback(agent.end)


def trouble(laid: NodeFiles, now_s: float) -> dict[str, str]:
    """Gives an agent every trouble that panels show, and returns the environment that it needs for one of them.

    A sink whose server does not answer; a log that keeps boxes too short for it; a switch that no index takes; and a
    clock that is set.
    """
    with laid.config.open("a") as file:
        file.write(f'[[sink]]\nkind = "opensearch"\nname = "{NOWHERE}"\nhosts = ["http://127.0.0.1:{free_port()}"]\n')
    journal = Journal(laid.paths.journal)
    last = next(past(random.Random(1), now_s))
    journal.append([msgspec.structs.replace(last, seq=journal.last_seq + 1, id="beyond-float", duration_s=1e39)])
    journal.close()
    folder = laid.config.parent / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(STEPS.format(at_s=now_s + STEPS_AFTER_S, by_s=STEPS_BY_S))
    return {"PYTHONPATH": str(folder)}


def give_past(laid: NodeFiles, now_s: float) -> None:
    """Gives a node a journal of its switches in the last days, and a mode."""
    dice = random.Random(laid.host)
    journal = Journal(laid.paths.journal)
    journal.append(past(dice, now_s))
    journal.close()
    write_mode(laid.paths.mode, Mode.HLT)


def past(dice: random.Random, now_s: float) -> Iterator[SwitchRecord]:
    """Yields the switches of the last days."""
    n = PAST_DAYS * SWITCHES_A_DAY
    for seq in range(1, n + 1):
        ended_s = now_s - (n - seq + 0.5) * DAY_S / SWITCHES_A_DAY
        to = Wanted.CLOUD if seq % 2 else Wanted.HLT
        lasts_s = dice.lognormvariate(3.5, 0.5)
        phases = PHASES[:4] if to is Wanted.CLOUD else PHASES[4:]
        parts = [dice.random() * (6.0 if phase in ("drain", "stop_vms") else 1.0) for phase in phases]
        times = {phase: lasts_s * part / sum(parts) for phase, part in zip(phases, parts, strict=True)}
        who, reason = dice.choice(PEOPLE)
        outcome = dice.choices(("done", "superseded", "vms_failed", "refused"), (85, 6, 5, 4))[0]
        yield SwitchRecord(
            seq=seq, time=iso(ended_s), id=f"past-{seq}", who=who, reason=reason,
            from_mode=Mode.HLT if to is Wanted.CLOUD else Mode.CLOUD, to=to, outcome=outcome,
            why="" if outcome == "done" else "the cloud tool said no", started=iso(ended_s - lasts_s),
            duration_s=lasts_s, phases=times, was_stuck=lasts_s > 60.0,
        )  # fmt: skip


def beam_page(mode: BeamMode) -> str:
    """Returns the beam mode as the fleet tool exports it."""
    return "".join(f'{BEAM_MODE}{{mode="{each.value}"}} {int(each is mode)}\n' for each in BeamMode)
