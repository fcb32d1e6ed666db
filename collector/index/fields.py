"""Every field of every document: its type in the index, whether it is searched by, and what it means with its unit.

The mappings of both servers and the lists of fields in the manual are made from this table. A field that
`collector.documents` emits and that is not here fails a test, and so does one that is here and never emitted.

Metrics are stored as doc values only: they are charted, averaged and sorted by at full speed, while a search for a
value scans. Their points would be a sixth of the index.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from collector.documents import BOX, SWITCHOVER
from contract.index_names import CURRENT
from contract.journal import PHASES

ALL_KINDS: Final = (BOX, SWITCHOVER, CURRENT)


class Type(StrEnum):
    """How the index keeps a field; the words are those of both servers' mappings."""

    KEYWORD = "keyword"
    TEXT = "text"
    INTEGER = "integer"
    LONG = "long"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    OBJECT = "object"


class Field(msgspec.Struct, frozen=True):
    """One field. `searched` ones have an index besides their doc values; `parts` are the fields within."""

    name: str
    type: Type
    meaning: str
    searched: bool = False
    parts: tuple[Field, ...] = ()


def searched(name: str, type_: Type, meaning: str) -> Field:
    """Returns a field that documents are found by."""
    return Field(name, type_, meaning, searched=True)


# Who and when: in every kind.
NODE: Final = (
    searched("@timestamp", Type.DATE, "when the node looked like this; of a switchover, its end"),
    searched("host", Type.KEYWORD, "the filter unit"),
    searched("appliance", Type.KEYWORD, "the builder unit that it belongs to"),
    searched("subsystem", Type.KEYWORD, "the DAQ system that it works for, such as cdaq"),
)

MODE: Final = (
    searched("mode", Type.KEYWORD, "HLT, activatingCloud, cloud or deactivatingCloud"),
    Field("mode_since", Type.DATE, "since when it is in this mode"),
    Field("mode_age_s", Type.FLOAT, "how long it has been in this mode, in seconds"),
    searched("switch_id", Type.KEYWORD, "the request whose switch is under way"),
    searched("vms", Type.KEYWORD, "virtual machines: down, starting, up, failed or stopping"),
    searched("blocker", Type.KEYWORD, "what the switch waits for right now"),
    searched("stuck", Type.BOOLEAN, "the switch takes longer than its time limit"),
    Field("box_age_s", Type.FLOAT, "how old the box file was, in seconds"),
    searched("box_old", Type.BOOLEAN, "the box file's fields no longer hold: too old, or not to be read"),
)

# An object and not nested: a nested one costs 24 bytes a document and the sorting of the index, which saves another 35,
# and dashboards can't chart it. A node works for one run, seldom for two.
RUN_STATS: Final = (
    searched("run", Type.INTEGER, "run number"),
    Field("totalRes", Type.INTEGER, "core tokens that the run has had"),
    Field("qRes", Type.INTEGER, "core tokens quarantined by it"),
    Field("ongoing", Type.BOOLEAN, "the run goes on"),
    Field("errors", Type.INTEGER, "jobs that crashed"),
    Field("errorsRes", Type.INTEGER, "core tokens of jobs that crashed"),
)

# The box file's fields under hltd's names (hltd-contract: Box file).
BOX_FILE: Final = (
    Field("fm_date", Type.DATE, "when the box file was written"),
    searched("cloudState", Type.KEYWORD, "hltd's word for the mode: off, starting, on, stopping or resourcesMasked"),
    Field("idles", Type.INTEGER, "core tokens that are idle"),
    Field("used", Type.INTEGER, "core tokens that work"),
    Field("broken", Type.INTEGER, "core tokens whose job crashed"),
    Field("used_activeRun", Type.INTEGER, "core tokens that work for the newest run"),
    Field("broken_activeRun", Type.INTEGER, "core tokens whose job of the newest run crashed"),
    Field("cloud", Type.INTEGER, "core tokens that belong to the cloud"),
    Field("quarantined", Type.INTEGER, "core tokens kept out of use"),
    Field("usedDataDir", Type.LONG, "used part of the data folder, in MiB"),
    Field("totalDataDir", Type.LONG, "size of the data folder, in MiB"),
    searched("fuDataAlarm", Type.BOOLEAN, "the data folder is nearly full"),
    searched("activeRuns", Type.INTEGER, "numbers of the runs that go on here"),
    Field("activeRunNumQueuedLS", Type.INTEGER, "lumisections of the newest run that wait; -1: not known"),
    Field("activeRunCMSSWMaxLS", Type.INTEGER, "newest lumisection that a job has opened; -1: none"),
    Field("activeRunMaxLSOut", Type.INTEGER, "newest lumisection whose output is merged; -1: none"),
    Field("activeRunStats", Type.OBJECT, "how each run stands on this node", parts=RUN_STATS),
    searched("detectedStaleHandle", Type.BOOLEAN, "the BU's ramdisk answered with a stale file handle"),
    Field("outputBandwidthMB", Type.FLOAT, "output of all runs, in MB/s"),
    Field("activeRunOutputMB", Type.FLOAT, "output of the newest run, in MB/s"),
    Field("activeRunLSBWMB", Type.FLOAT, "output of the newest run in its last lumisection, in MB/s"),
    Field("sysCPUFrac", Type.FLOAT, "CPU in use, from 0 to 1"),
    Field("cpu_MHz_avg_real", Type.FLOAT, "clock of the cores on average, in MHz"),
    Field("dataNetIn", Type.FLOAT, "data received from the BU, in MB/s"),
    Field("cpuName", Type.KEYWORD, "model of the processor"),
    Field("cpu_phys_cores", Type.INTEGER, "physical cores"),
    Field("cpu_hyperthreads", Type.INTEGER, "hardware threads"),
    Field("mem_frac", Type.FLOAT, "memory in use, from 0 to 1"),
    Field("isGlobalRun", Type.BOOLEAN, "the node takes part in a global run"),
    Field("daqSystem", Type.KEYWORD, "the DAQ system's name as the BU tells it"),
    Field("daqInstance", Type.KEYWORD, "the DAQ system's instance as the BU tells it"),
    searched("fuGroup", Type.KEYWORD, "the group of filter units that it belongs to"),
)

PHASE_MEANINGS: Final = {
    "check": "asking the cloud tool whether it works",
    "drain": "ending the jobs and the merge script",
    "hand_over": "moving the core tokens to the cloud",
    "start_vms": "starting virtual machines",
    "stop_vms": "stopping virtual machines",
    "take_back": "moving the core tokens back",
}

# Switchovers are few and asked about in every way, so all of their fields are searched.
SWITCH: Final = (
    searched("switch_id", Type.KEYWORD, "the request's id"),
    searched("who", Type.KEYWORD, "who asked"),
    searched("reason", Type.TEXT, "why they asked"),
    searched("from_mode", Type.KEYWORD, "the mode that it began in"),
    searched("to", Type.KEYWORD, "what was asked for: HLT or cloud"),
    searched("outcome", Type.KEYWORD, "done, refused, superseded or vms_failed"),
    searched("why", Type.TEXT, "why it was refused or failed"),
    searched("started", Type.DATE, "when the request was accepted"),
    searched("ended", Type.DATE, "when it was over"),
    searched("duration_s", Type.FLOAT, "from request to end, in seconds"),
    Field("phases", Type.OBJECT, "seconds spent in each phase that it went through", searched=True,
          parts=tuple(searched(name, Type.FLOAT, f"{PHASE_MEANINGS[name]}, in seconds") for name in PHASES)),
    searched("was_stuck", Type.BOOLEAN, "it took longer than its time limit"),
    searched("journal_seq", Type.LONG, "its number in the node's journal"),
    searched("observed", Type.BOOLEAN, "made from observed changes of a node without a journal"),
)  # fmt: skip

# A current document is the newest box document of its host.
FIELDS: Final[dict[str, tuple[Field, ...]]] = {
    BOX: NODE + MODE + BOX_FILE,
    SWITCHOVER: NODE + SWITCH,
    CURRENT: NODE + MODE + BOX_FILE,
}
