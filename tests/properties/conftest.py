"""How long random stories are and how many: few and always the same ones in a test run, many new ones for `long`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A step is a handful of real file operations and may take long on a busy machine.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)

settings.register_profile("short", UNHURRIED, max_examples=60, stateful_step_count=30, derandomize=True, database=None)
settings.register_profile("long", UNHURRIED, max_examples=1500, stateful_step_count=60)
