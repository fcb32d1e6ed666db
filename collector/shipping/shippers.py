"""All shippers of an agent, one for each sink of the configuration."""

from __future__ import annotations

from collections.abc import Callable

from collector.shipping.metrics import SinkMetrics
from collector.shipping.shipper import Shipper
from contract.config import NodeConfig


class Shippers:
    """Ships to the sinks of the configuration that it was given last. `nodes` and `doubt` as in Shipper."""

    def __init__(self, metrics: SinkMetrics, nodes: Callable[[], int], doubt: Callable[[int], None]) -> None:
        self._metrics = metrics
        self._nodes = nodes
        self._doubt = doubt
        self._shippers: dict[str, Shipper] = {}

    def serve(self, config: NodeConfig) -> None:
        """Starts shippers of new sinks, ends those of sinks that have gone, and begins changed ones anew."""
        wanted = {sink.name: sink for sink in config.sink}
        for name, shipper in list(self._shippers.items()):
            if wanted.get(name) != shipper.sink:
                shipper.stop()
                del self._shippers[name]
                if name not in wanted:
                    self._metrics.forget(name)
        for name, sink in wanted.items():
            if name not in self._shippers:
                meter = self._metrics.meter(name)
                shipper = Shipper(sink, config.paths.log, config.node.subsystem, meter, self._nodes, self._doubt)
                self._shippers[name] = shipper
                shipper.start()

    def wake(self) -> None:
        """Says that there may be new documents."""
        for shipper in self._shippers.values():
            shipper.wake()

    def stop(self) -> None:
        """Ends all."""
        for shipper in self._shippers.values():
            shipper.stop()
