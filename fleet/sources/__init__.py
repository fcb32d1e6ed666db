"""Where names of nodes come from besides the command line: box folders, a Prometheus, an index."""
