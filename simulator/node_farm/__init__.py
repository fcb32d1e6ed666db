"""A farm of many nodes in one process, each at its own loopback address: `hltmode simulate farm`."""
