"""What stands around rules and dashboards: who is told of an alert, what is scraped, where Grafana gets its data."""
