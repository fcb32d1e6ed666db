"""All servers on one machine for those who have Docker, with the files made here; nothing is reachable from others."""

from __future__ import annotations

from typing import Any, Final

from dashboards.boards.datasources import Flavour
from dashboards.provisioning.grafana import BOARDS_FOLDER, OPENSEARCH_EXAMPLE, OPENSEARCH_VERSION, PASSWORD, USER
from dashboards.yaml_text import yaml_text

LOOPBACK: Final = "127.0.0.1"
GRAFANA_PASSWORD: Final = "HLTMODE_GRAFANA_PASSWORD"  # noqa: S105 - the name of a variable, which holds the secret
# Those that the tests check rules, routes and configuration with.
PROMETHEUS_VERSION: Final = "2.42.0"
ALERTMANAGER_VERSION: Final = "0.25.0"
PLUGIN_VERSION: Final = "2.32.1"
PROVISIONING: Final = "/etc/grafana/provisioning"


def files() -> dict[str, str]:
    """Returns the file by its path below the folder of dashboards."""
    services = {
        "prometheus": _prometheus(),
        "alertmanager": _alertmanager(),
        "grafana": _grafana(),
        "opensearch": _opensearch(),
    }
    volumes = {f"{name}-data": None for name in services}
    content = {"name": "hltmode", "services": services, "volumes": volumes}
    remarks = (
        f"{GRAFANA_PASSWORD}=... docker compose up -d; then Grafana is at http://{LOOPBACK}:3000, user admin.",
        "Targets: `python -m dashboards targets HOSTS_FILE`; this machine itself is host.docker.internal.",
        "Messages to a program here: `write --webhooks http://host.docker.internal:9099`.",
        f"The index has no users and no TLS, since only this machine reaches it, at http://{LOOPBACK}:9200.",
    )
    return {"compose.yml": yaml_text(content, *remarks)}


def _service(name: str, image: str, port: int, data: str, *read: str, **more: object) -> dict[str, Any]:
    """Returns a service that keeps its data in a volume, reads files from here and listens on loopback."""
    return {
        "image": image,
        "restart": "unless-stopped",
        "ports": [f"{LOOPBACK}:{port}:{port}"],
        "volumes": [*(f"{each}:ro" for each in read), f"{name}-data:{data}"],
        **more,
    }


def _prometheus() -> dict[str, Any]:
    flags = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
    return _service(
        "prometheus",
        f"prom/prometheus:v{PROMETHEUS_VERSION}",
        9090,
        "/prometheus",
        "./prometheus:/etc/prometheus",
        command=[*flags, "--storage.tsdb.retention.time=90d"],
        extra_hosts=["host.docker.internal:host-gateway"],
    )


def _alertmanager() -> dict[str, Any]:
    return _service(
        "alertmanager",
        f"prom/alertmanager:v{ALERTMANAGER_VERSION}",
        9093,
        "/alertmanager",
        "./alertmanager:/etc/alertmanager",
        extra_hosts=["host.docker.internal:host-gateway"],
    )


def _grafana() -> dict[str, Any]:
    return _service(
        "grafana",
        "grafana/grafana:11.6.0",
        3000,
        "/var/lib/grafana",
        f"./{OPENSEARCH_EXAMPLE}:{PROVISIONING}/datasources/hltmode.yml",
        f"./grafana/provisioning/dashboards:{PROVISIONING}/dashboards",
        f"./grafana/{Flavour.OPENSEARCH.folder}:{BOARDS_FOLDER}",
        environment={
            "GF_SECURITY_ADMIN_PASSWORD": f"${{{GRAFANA_PASSWORD}:?choose one}}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_PLUGINS_PREINSTALL": f"{Flavour.OPENSEARCH}@{PLUGIN_VERSION}",
            "GF_PLUGINS_PREINSTALL_ASYNC": "false",
            USER: f"${{{USER}:-}}",
            PASSWORD: f"${{{PASSWORD}:-}}",
        },
        depends_on=["prometheus", "opensearch"],
    )


def _opensearch() -> dict[str, Any]:
    return _service(
        "opensearch",
        f"opensearchproject/opensearch:{OPENSEARCH_VERSION}",
        9200,
        "/usr/share/opensearch/data",
        environment={
            "discovery.type": "single-node",
            "DISABLE_SECURITY_PLUGIN": "true",
            "DISABLE_INSTALL_DEMO_CONFIG": "true",
            "OPENSEARCH_JAVA_OPTS": "-Xms1g -Xmx1g",
        },
        ulimits={"nofile": {"soft": 65536, "hard": 65536}},
    )
