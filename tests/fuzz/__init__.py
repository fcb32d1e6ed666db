"""Properties that must hold for any input: a valid value or the documented error, in one line, and nothing else."""
