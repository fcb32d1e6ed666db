"""The telemetry agent of a node: it samples, keeps, exports."""
