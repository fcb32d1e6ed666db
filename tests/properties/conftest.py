"""How long random stories are and how many: few and always the same ones in a test run, many new ones for `long`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A step is a handful of real file operations and may take long on a busy machine.
UNHURRIED = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], print_blob=True
)

settings.register_profile("short", UNHURRIED, max_examples=100, stateful_step_count=40, derandomize=True, database=None)
settings.register_profile("long", UNHURRIED, max_examples=2000, stateful_step_count=60)
