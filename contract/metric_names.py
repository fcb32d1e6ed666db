"""The names of all metrics: what daemons export and dashboards, rules and tools ask for. Seconds and bytes."""

from __future__ import annotations

from typing import Final

# Of each node.
MODE: Final = "hltd_mode"
MODE_SINCE: Final = "hltd_mode_since_timestamp_seconds"
MODE_TIMEOUT: Final = "hltd_mode_timeout_seconds"
CORES: Final = "hltd_cores"
VMS: Final = "hltd_vms"
BOX_AGE: Final = "hltd_box_age_seconds"
ACTIVE_RUN: Final = "hltd_active_run"
STUCK: Final = "hltd_stuck"
BLOCKER: Final = "hltd_blocker"
MODE_BOX_DISAGREES: Final = "hltd_mode_box_disagrees"
CLOCK_SKEW: Final = "hltd_clock_skew_seconds"
LIMIT: Final = "hltd_limit_seconds"
CHANGES_LIMIT: Final = "hltd_limit_mode_changes"
SWITCH_PHASE: Final = "hltd_switch_phase_seconds"
SWITCHES: Final = "hltd_switches_total"

# Of a collector itself.
MADE_TOTAL: Final = "hltmode_documents_made_total"
DROPPED_TOTAL: Final = "hltmode_documents_dropped_total"
LOG_BYTES: Final = "hltmode_log_bytes"
LOG_UP: Final = "hltmode_log_up"
INTERVAL: Final = "hltmode_sample_interval_seconds"
LATENESS: Final = "hltmode_sample_lateness_seconds"
CLOCK: Final = "hltmode_clock_timestamp_seconds"
AGENT_LIMIT: Final = "hltmode_limit_seconds"
LAST_SUCCESS: Final = "hltmode_sample_last_success_timestamp_seconds"
LOG_BEGUN: Final = "hltmode_log_begun_timestamp_seconds"
CLOCK_STEPS: Final = "hltmode_clock_steps_total"
BOX_FAILURES: Final = "hltmode_box_read_failures_total"
JOURNAL_SEQ: Final = "hltmode_journal_seq"

# What LIMIT and AGENT_LIMIT are of, in their label `of`.
OF_BOX_AGE: Final = "box_age"
OF_CLOCK_OFF: Final = "clock_off"
OF_SAMPLE_AGE: Final = "sample_age"
OF_BACKLOG_AGE: Final = "backlog_age"

# Of each sink of a collector; at any moment captured = delivered + dead + dropped + backlog.
SINK_CAPTURED: Final = "hltmode_sink_captured_total"
SINK_DELIVERED: Final = "hltmode_sink_delivered_total"
SINK_DEAD: Final = "hltmode_sink_dead_total"
SINK_DROPPED: Final = "hltmode_sink_dropped_total"
SINK_BACKLOG: Final = "hltmode_sink_backlog_documents"
SINK_OLDEST: Final = "hltmode_sink_oldest_undelivered_seconds"
SINK_DEAD_LETTERS: Final = "hltmode_sink_dead_letters"
SINK_UP: Final = "hltmode_sink_up"
SINK_LAST_SUCCESS: Final = "hltmode_sink_last_success_timestamp_seconds"
SINK_LAST_TURN: Final = "hltmode_sink_last_turn_timestamp_seconds"
SINK_FAILURES: Final = "hltmode_sink_failures_total"
SINK_REQUEST: Final = "hltmode_sink_request_seconds"

# Of the fleet tool's follower.
BEAM_MODE: Final = "hltd_beam_mode"
BEAM_MODE_SINCE: Final = "hltd_beam_mode_since_timestamp_seconds"
BEAM_HEARD: Final = "hltd_beam_heard_timestamp_seconds"
FOLLOW_WANTED: Final = "hltmode_follow_wanted"
FOLLOW_HELD: Final = "hltmode_follow_held"
FOLLOW_NODES: Final = "hltmode_follow_nodes"
FOLLOW_SILENT_NODES: Final = "hltmode_follow_silent_nodes"
FOLLOW_OWN_NODES: Final = "hltmode_follow_own_nodes"
FOLLOW_UNDER_WAY: Final = "hltmode_follow_under_way"
FOLLOW_WARNING: Final = "hltmode_follow_warning"
FOLLOW_DECISIONS: Final = "hltmode_follow_decisions_total"
FOLLOW_LAST_TICK: Final = "hltmode_follow_last_decision_timestamp_seconds"
FOLLOW_LOOKED: Final = "hltmode_follow_nodes_looked_timestamp_seconds"
