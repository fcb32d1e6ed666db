"""Carries a schedule of bad days out on a real server, a proxy and agents, and mends all at its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from benchmarks.agents import Agent
from benchmarks.asking import ask
from benchmarks.fault_schedule import Do, Event
from collector.index.clients import IndexClient
from contract.errors import HltmodeError
from tests.integration.node import wait_for
from tests.servers.proxy import FaultProxy, Pass
from tests.servers.server import IndexServer


class BadDays:
    """Server, proxy and agents to which events happen. `done` counts the events, `conflicts` the server's 409."""

    def __init__(
        self,
        server: IndexServer,
        proxy: FaultProxy,
        agents: Sequence[Agent],
        client: IndexClient,
        tell: Callable[[str], None],
    ) -> None:
        self.done: Counter[Do] = Counter()
        self.conflicts = 0
        self._server = server
        self._proxy = proxy
        self._agents = agents
        self._client = client
        self._tell = tell

    def live(self, events: Iterable[Event], span_s: float) -> None:
        """Lets the events happen, each at its time, until `span_s` have gone by."""
        began_s = time.monotonic()
        for event in events:
            time.sleep(max(0.0, began_s + event.at_s - time.monotonic()))
            if event.agent < 0:
                self._tell(f"{time.monotonic() - began_s:6.1f} s  {event}")
            self._happen(event)
        time.sleep(max(0.0, began_s + span_s - time.monotonic()))

    def mend(self) -> None:
        """Ends all faults: server, proxy and agents are well when this returns."""
        self._proxy.switch(Pass())
        if not self._server.running:
            self._server.launch()
        self._server.wait_up()
        for agent in self._agents:
            if not agent.running:
                agent.start()

    def drain(self, timeout_s: float) -> float:
        """Has the agents sample seldom, waits until none has a backlog, and returns how many seconds that took."""
        began_s = time.monotonic()
        for agent in self._agents:
            agent.wait_ready()
            agent.rest()
        for agent in self._agents:
            wait_for(f"{agent.host} has no backlog", lambda each=agent: not _backlog(each), timeout_s)  # type: ignore[misc]
        return time.monotonic() - began_s

    def count_conflicts(self) -> None:
        """Adds what the server has refused since its start: 409s, where no document dies. It forgets at its end."""
        try:
            nodes = ask(self._client, "GET", "/_nodes/stats/indices/indexing")["nodes"]
        except HltmodeError:
            return
        for node in nodes.values():
            self.conflicts += node["indices"]["indexing"]["index_failed"]

    def _happen(self, event: Event) -> None:
        if not isinstance(event.what, Do):
            self._proxy.switch(event.what)
            return
        self.done[event.what] += 1
        match event.what:
            case Do.STOP_SERVER:
                self.count_conflicts()
                self._server.stop()
            case Do.KILL_SERVER:
                self.count_conflicts()
                self._server.kill()
            case Do.START_SERVER:
                self._server.launch()
            case Do.KILL_AGENT:
                self._agents[event.agent].kill()
            case Do.START_AGENT:
                self._agents[event.agent].start()


def _backlog(agent: Agent) -> int:
    return sum(account.backlog for account in agent.accounts().values())
