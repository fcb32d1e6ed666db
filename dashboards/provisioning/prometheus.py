"""Prometheus: what it scrapes, which rules it evaluates, to whom it hands alerts."""

from __future__ import annotations

from typing import Final

from dashboards.addresses import Addresses
from dashboards.provisioning.targets import Target, target_file
from dashboards.rules.files import EVERY
from dashboards.rules.files import files as rules
from dashboards.rules.recording import FOLLOW_JOB, JOB
from dashboards.yaml_text import yaml_text

SCRAPE_EVERY: Final = "15s"
TARGETS: Final = "targets"

# A collector on each node, or one on each BU that tells of all its nodes: its own host is the BU's name.
EXAMPLES: Final = {
    "node": (
        Target("fu-c2f01-01-01", "bu-c2f01"),
        Target("fu-c2f01-01-02", "bu-c2f01"),
        Target("fu-c2f02-01-01", "bu-c2f02"),
    ),
    "appliance": (Target("bu-c2f01", "bu-c2f01"), Target("bu-c2f02", "bu-c2f02")),
}


def files(addresses: Addresses) -> dict[str, str]:
    """Returns the configuration and an example of targets for each role, by path below the folder of dashboards."""
    follower = (
        [{"job_name": FOLLOW_JOB, "static_configs": [{"targets": [addresses.follower]}]}] if addresses.follower else []
    )
    content = {
        "global": {"scrape_interval": SCRAPE_EVERY, "scrape_timeout": "10s", "evaluation_interval": EVERY},
        "rule_files": list(rules()),
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [addresses.alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": JOB,
                "honor_labels": True,
                "file_sd_configs": [{"files": [f"{TARGETS}/*.json"], "refresh_interval": "1m"}],
            },
            *follower,
        ],
    }
    remarks = (
        "`python -m dashboards targets HOSTS_FILE` writes the targets from lines `host appliance`.",
        "`python -m dashboards write --follower HOST:9110` adds the job of `hltmode fleet follow`.",
        "honor_labels: an appliance's collector tells of many hosts, and each series names its own.",
    )
    return {"prometheus/prometheus.yml": yaml_text(content, *remarks)} | {
        f"prometheus/{TARGETS}/{role}.json.example": target_file(targets) for role, targets in EXAMPLES.items()
    }
