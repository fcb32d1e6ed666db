"""The alerts: what wakes a person, and what that person is told. Time limits of switches come from the nodes."""

from __future__ import annotations

from typing import Final, NamedTuple

from contract.beam import FREE_FOR_CLOUD, TOLERATED_S, TOLERATED_SHARE, WHOLE_FARM_WANTED, Warned
from contract.metric_names import (
    BLOCKER,
    BOX_AGE,
    CLOCK,
    CLOCK_SKEW,
    DROPPED_TOTAL,
    FOLLOW_LAST_TICK,
    FOLLOW_WARNING,
    LAST_SUCCESS,
    LOG_UP,
    MODE,
    MODE_BOX_DISAGREES,
    MODE_SINCE,
    OF_BACKLOG_AGE,
    OF_BOX_AGE,
    OF_CLOCK_OFF,
    OF_SAMPLE_AGE,
    SINK_DEAD,
    SINK_DROPPED,
    SINK_OLDEST,
    SINK_UP,
    VMS,
)
from contract.modes import Mode, Vms
from dashboards.names import Uid
from dashboards.rules.limits import (
    CHANGES_WITHIN,
    DOWN_SHARE_OF_APPLIANCE,
    FOLLOWER_SILENT_S,
    OTHERWISE,
    STUCK_SHARE_OF_APPLIANCE,
    above,
    agent_limit,
    below_minus,
    changes_limit,
    node_limit,
)
from dashboards.rules.recording import AWAY_SHARE, DOWN_SHARE, FOLLOW_JOB, NODE, OVERDUE, OVERDUE_SHARE, UP, beam

CRITICAL: Final = "critical"
WARNING: Final = "warning"
SHIFT: Final = "shift"
DAQ: Final = "daq"

WHERE: Final = "{{ $labels.host }} ({{ $labels.appliance }})"
FOR: Final = "{{ $value | humanizeDuration }}"
OFF: Final = '{{ $value | humanizeDuration | reReplaceAll "^-" "" }}'
SHARE: Final = "{{ $value | humanizePercentage }}"


class Alert(NamedTuple):
    """One alert. `hold` is how long it must hold before it fires, `keep` how long it goes on after it has ended."""

    name: str
    expr: str
    summary: str
    description: str
    severity: str = WARNING
    team: str = DAQ
    hold: str = "0s"
    keep: str = ""
    dashboard: Uid = Uid.NODE


def blocker() -> str:
    """Returns a template that names what the node waits for; a label would make a new alert of each blocker."""
    asked = f"printf \"{BLOCKER}{{host='%s',appliance='%s'}}\" $labels.host $labels.appliance"
    named = '{{ . | first | label "blocker" }}'
    return f"{{{{ with query ({asked}) }}}}{named}{{{{ else }}}}nothing it names{{{{ end }}}}"


def _is(mode: Mode) -> str:
    return f'({MODE}{{mode="{mode.value}"}} == 1)'


def _vms(*states: Vms) -> str:
    return f'max by {NODE} ({VMS}{{state=~"{"|".join(state.value for state in states)}"}})'


def _stuck(name: str, mode: Mode, hint: str) -> Alert:
    return Alert(
        name,
        f'{OVERDUE}{{mode="{mode.value}"}}',
        f"{WHERE} is stuck in {mode.value}, {FOR} beyond its limit",
        f"It waits for: {blocker()}. {hint}",
        severity=CRITICAL,
        team=SHIFT,
        hold="15s",
        keep="1m",
    )


def _clock_off() -> str:
    """Returns by how much clocks are off: a node's beside its BU's, a collector's beside Prometheus' own.

    A mode that began in the future tells of a clock that has been ahead.
    """
    agent = f"({CLOCK} - timestamp({CLOCK}))"
    measured = (
        (CLOCK_SKEW, node_limit(OF_CLOCK_OFF, CLOCK_SKEW, OTHERWISE.clock_off_s)),
        (agent, agent_limit(OF_CLOCK_OFF, CLOCK, OTHERWISE.clock_off_s)),
    )
    since = f"({MODE_SINCE} - time())"
    ahead = [above(each, limit) for each, limit in measured]
    ahead.append(above(since, node_limit(OF_CLOCK_OFF, MODE_SINCE, OTHERWISE.clock_off_s)))
    behind = [below_minus(each, limit) for each, limit in measured]
    return " or ".join(
        [*(f"max by {NODE} ({each})" for each in ahead), *(f"min by {NODE} ({each})" for each in behind)]
    )


LOST: Final = "HltmodeLostWhileSwitching"
SWITCHING: Final = f"{Mode.ACTIVATING_CLOUD.value}|{Mode.DEACTIVATING_CLOUD.value}"

NODE_ALERTS: Final = (
    _stuck(
        "HltmodeStuckActivating", Mode.ACTIVATING_CLOUD, "Its cores work neither for the trigger nor for the cloud."
    ),
    _stuck("HltmodeStuckDeactivating", Mode.DEACTIVATING_CLOUD, "The trigger does not get its cores back."),
    Alert(
        "HltmodeCloudWithoutVms",
        f"{_is(Mode.CLOUD)} and on {NODE} ({_vms(Vms.UP)} == 0)",
        f"{WHERE} is in cloud and no virtual machine runs",
        f"Its cores are idle. It waits for: {blocker()}.",
        hold="10m",
    ),
    Alert(
        "HltmodeVmsInHlt",
        f"{_is(Mode.HLT)} and on {NODE} ({_vms(Vms.UP, Vms.STARTING, Vms.FAILED, Vms.STOPPING)} == 1)",
        f"{WHERE} is in HLT while virtual machines run",
        "Trigger jobs and virtual machines may share cores: data taking on this node is slow.",
        severity=CRITICAL,
        team=SHIFT,
        hold="1m",
    ),
    Alert(
        LOST,
        # What was heard last is out of sight after 30 minutes; the alert then holds itself until the node is back.
        f'(max by {NODE} (last_over_time({MODE}{{mode=~"{SWITCHING}"}}[30m])) == 1'
        f' or max by {NODE} (ALERTS{{alertname="{LOST}", alertstate="firing"}}) and on {NODE} {UP} == 0)'
        f" unless on {NODE} {MODE}",
        f"{WHERE} was switching when it was last heard of",
        "Nobody knows what its cores do. The node or its collector is down.",
        team=SHIFT,
        hold="1m",
    ),
    Alert(
        "HltmodeModeAndBoxDisagree",
        f"{MODE_BOX_DISAGREES} == 1",
        f"{WHERE}: mode file and box file tell different modes",
        "The BU and the cloud team believe different things of this node.",
        severity=CRITICAL,
        team=SHIFT,
        hold="1m",
    ),
    Alert(
        "HltmodeModeUnknown",
        f"sum by {NODE} ({MODE}) != 1",
        f"{WHERE} is in {{{{ if $value }}}}{{{{ $value }}}} modes at once{{{{ else }}}}no known mode{{{{ end }}}}",
        "A node is in exactly one mode; 0 means that neither mode file nor box file says which.",
        hold="1m",
    ),
    Alert(
        "HltmodeFlapping",
        above(f"changes({MODE_SINCE}[{CHANGES_WITHIN}])", changes_limit(MODE_SINCE)),
        f"{WHERE} changed its mode {{{{ $value }}}} times in 30 minutes",
        "Two tools or two people may be asking for opposite things. `hltmode history` names them.",
        team=SHIFT,
        keep="10m",
    ),
    Alert(
        "HltmodeClockSkew",
        _clock_off(),
        f"{WHERE}: its clock is {OFF} {{{{ if gt $value 0.0 }}}}ahead{{{{ else }}}}behind{{{{ end }}}}",
        "Ages, durations and the order of switches can't be trusted.",
        hold="2m",
    ),
    Alert(
        "HltmodeBoxOld",
        above(BOX_AGE, node_limit(OF_BOX_AGE, BOX_AGE, OTHERWISE.box_age_s)),
        f"{WHERE}: its box file is {FOR} old",
        "A BU drops a filter unit whose box is older than 10 s. The switcher is down, or the BU's mount hangs.",
        team=SHIFT,
        hold="30s",
    ),
)

COLLECTOR_ALERTS: Final = (
    Alert(
        "HltmodeExporterDown",
        f"{UP} == 0",
        f"{WHERE}: its collector does not answer",
        "The mode of this node is not known to anyone who looks at Prometheus.",
        hold="2m",
    ),
    Alert(
        "HltmodeCollectorStalled",
        # by the collector's own clock, which may be another than that of Prometheus
        above(f"({CLOCK} - {LAST_SUCCESS})", agent_limit(OF_SAMPLE_AGE, LAST_SUCCESS, OTHERWISE.sample_age_s)),
        f"{WHERE}: no sample for {FOR}",
        "The collector answers and samples nothing: its log takes no documents, or it hangs.",
        hold="1m",
        dashboard=Uid.TELEMETRY,
    ),
    Alert(
        "HltmodeLogDown",
        f"{LOG_UP} == 0",
        f"{WHERE}: its log takes no documents",
        "Documents are lost until it does. Its disk is full, or the file can't be written.",
        hold="1m",
        dashboard=Uid.TELEMETRY,
    ),
    Alert(
        "HltmodeSinkDown",
        f"{SINK_UP} == 0",
        f"{WHERE}: sink {{{{ $labels.sink }}}} takes no documents",
        "Documents wait in the log; nothing is lost yet. The collector's log says why.",
        hold="5m",
        dashboard=Uid.TELEMETRY,
    ),
    Alert(
        "HltmodeBacklogOld",
        above(SINK_OLDEST, agent_limit(OF_BACKLOG_AGE, SINK_OLDEST, OTHERWISE.backlog_age_s)),
        f"{WHERE}: documents for {{{{ $labels.sink }}}} have waited for {FOR}",
        "Panels and history lack the past until the backlog is worked off.",
        hold="5m",
        dashboard=Uid.TELEMETRY,
    ),
    Alert(
        "HltmodeDocumentsLost",
        # `or` keeps the left one of two series with the same labels, so the dead get a label of their own.
        f"round(sum by {NODE} (increase({SINK_DROPPED}[15m])"
        f' or label_replace(increase({SINK_DEAD}[15m]), "fate", "dead", "", "")'
        f' or increase({DROPPED_TOTAL}{{reason=~"unwritten|damaged"}}[15m]))) > 0',
        f"{WHERE}: about {{{{ $value | humanize }}}} documents lost in 15 minutes",
        "Dropped before a sink took them, refused by it for good, or not written at all.",
        dashboard=Uid.TELEMETRY,
    ),
)

# Of the collectors that tell of a whole appliance: their host is the BU.
BU_UP: Final = f'{UP} and on {NODE} label_replace({UP}, "host", "$1", "appliance", "(.+)")'

APPLIANCE_ALERTS: Final = (
    Alert(
        "HltmodeApplianceDown",
        f"{DOWN_SHARE} >= {DOWN_SHARE_OF_APPLIANCE:g}"
        f" and on (appliance) (count by (appliance) ({UP}) > 1 or count by (appliance) ({BU_UP}))",
        f"{SHARE} of {{{{ $labels.appliance }}}} does not answer",
        "A whole appliance is likely to have lost power, network or its BU.",
        severity=CRITICAL,
        team=SHIFT,
        hold="1m",
        keep="1m",
        dashboard=Uid.FARM,
    ),
    Alert(
        "HltmodeApplianceStuck",
        f"{OVERDUE_SHARE} > {STUCK_SHARE_OF_APPLIANCE:g} and on (appliance) count by (appliance) ({OVERDUE}) > 1",
        f"{SHARE} of {{{{ $labels.appliance }}}} is stuck on its way",
        "Many nodes of one appliance wait at once: look for what they share, such as the cloud tool or the BU's mount.",
        severity=CRITICAL,
        team=SHIFT,
        hold="15s",
        keep="1m",
        dashboard=Uid.FARM,
    ),
)

FARM_ALERTS: Final = (
    Alert(
        "HltmodeTooManyAway",
        f"{AWAY_SHARE} > {TOLERATED_SHARE:g} and on () "
        f"max_over_time({beam(FREE_FOR_CLOUD)}[{TOLERATED_S / 60:g}m:1m]) == 0"
        # not while the beam mode was unknown for a good part of the time
        f" and on () count_over_time({beam(FREE_FOR_CLOUD)}[{TOLERATED_S / 60:g}m:1m]) >= {TOLERATED_S / 60 * 0.8:g}",
        f"{SHARE} of the farm is not in HLT, and the beam mode has wanted it back for {TOLERATED_S / 60:g} minutes",
        "The trigger lacks capacity for the coming fill. Ask the nodes back.",
        severity=CRITICAL,
        team=SHIFT,
        keep="2m",
        dashboard=Uid.FARM,
    ),
    Alert(
        "HltmodeAwayInCollisions",
        f"{AWAY_SHARE} > {TOLERATED_SHARE:g} and on () {beam(WHOLE_FARM_WANTED)} == 1",
        f"{SHARE} of the farm is not in HLT between squeeze and stable beams",
        "The trigger loses data now.",
        severity=CRITICAL,
        team=SHIFT,
        keep="2m",
        dashboard=Uid.FARM,
    ),
    Alert(
        "HltmodeFollowerDown",
        f'max(up{{job="{FOLLOW_JOB}"}}) == 0 or time() - max({FOLLOW_LAST_TICK}) > {FOLLOWER_SILENT_S}',
        "Nobody follows the beam: no node of the farm is asked back when it comes",
        "`hltmode fleet follow` does not answer, or decides nothing. The alerts about the beam are silent without it.",
        severity=CRITICAL,
        team=SHIFT,
        hold="1m",
        keep="1m",
        dashboard=Uid.FARM,
    ),
    Alert(
        "HltmodeBeamUnknown",
        f'max({FOLLOW_WARNING}{{kind="{Warned.BEAM}"}}) == 1',
        "The beam mode is not known, so the nodes of the farm were asked back",
        "`hltmode fleet decisions` says what is wrong with the source. Alerts about the beam are silent until then.",
        severity=WARNING,
        team=SHIFT,
        keep="1m",
        dashboard=Uid.FARM,
    ),
)

# An appliance's come first in the group of its nodes, so that they hold back what they explain before it is told.
GROUPS: Final = {
    "hltmode-nodes": (*APPLIANCE_ALERTS, *NODE_ALERTS),
    "hltmode-collectors": COLLECTOR_ALERTS,
    "hltmode-farm": FARM_ALERTS,
}
ALERTS: Final = (*NODE_ALERTS, *COLLECTOR_ALERTS, *APPLIANCE_ALERTS, *FARM_ALERTS)
