"""The command line `hltmode`."""
