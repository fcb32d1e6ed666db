"""The tool that asks many nodes at once, watches them, and tells the truth about each."""
