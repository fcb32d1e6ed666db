"""What Grafana does between a dashboard and its datasources, as far as our panels need it: variables, queries, frames.

The translation follows Grafana 11.6's own backend of the Elasticsearch datasource and version 2.34 of the OpenSearch
plugin; what they name a series or a column decides whether our colours, headings and links find it.
"""
