"""The Grafana dashboards as code: what a shift crew looks at."""
