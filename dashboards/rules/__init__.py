"""Prometheus rules as code: `python -m dashboards.rules` writes the files in `dashboards/prometheus`."""
