"""Dashboards, rules and provisioning as code, and the files that are made from it."""
