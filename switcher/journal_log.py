"""Journal records as log lines for people."""

from __future__ import annotations

import logging

from contract.journal import AnyRecord, MoveRecord, RequestRecord, RunRecord, StartRecord, SwitchRecord
from contract.modes import Vms
from switcher.states import Position

log = logging.getLogger("switcher")


def log_record(record: AnyRecord) -> None:
    """Writes one line about `record`; what needs attention is a warning."""
    match record:
        case StartRecord():
            log.info("started in mode %s: %s", record.mode.value, record.facts)
        case RequestRecord():
            log.info("%s by %s: %s (%s)", record.to.value, record.who or "somebody", record.verdict, record.id)
        case MoveRecord() if record.from_mode is not record.mode:
            log.info("mode %s -> %s (%s)", record.from_mode.value, record.mode.value, record.position)
        case MoveRecord() if record.from_position == record.position == Position.CLOUD and record.vms is Vms.STARTING:
            log.warning("no VMs run though the node is in cloud; they are started again")
        case MoveRecord():
            log.info("%s -> %s, VMs %s", record.from_position, record.position, record.vms.value)
        case SwitchRecord():
            level = logging.INFO if record.outcome in ("done", "superseded") else logging.WARNING
            phases = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in record.phases.items())
            why = f" ({record.why})" if record.why else ""
            log.log(
                level, "switch %s to %s: %s%s, %s", record.id, record.to.value, record.outcome, why, phases or "at once"
            )
        case RunRecord():
            log.info("run %d %s%s", record.run, record.what, f" ({record.detail})" if record.detail else "")
