"""`make fuzz`: every property with other random input, round by round, for some minutes. Exit 1 when one has failed."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import budget

IN_A_ROUND = "400"


class Findings:
    """Gathers what failed, for the last lines."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def main(minutes: float) -> int:
    """Runs rounds until the time is up, tells after each how it stands, and returns the exit code."""
    end_s = time.monotonic() + minutes * 60
    begun_s = time.monotonic()
    found = Findings()
    while time.monotonic() < end_s and not found.failed:
        seed = random.SystemRandom().randrange(2**32)
        arguments = [str(Path(__file__).parent), "-q", "-p", "no:cacheprovider", "-n0", "--timeout=900"]
        arguments += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # Hypothesis is there before pytest
        code = pytest.main([*arguments, "--tb=short", "--no-header", f"--hypothesis-seed={seed}"], plugins=[found])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return int(code)
        spent_s = time.monotonic() - begun_s
        total = budget.tried.total()
        print(f"seed {seed}: {total} examples in {spent_s:.0f} s, {total / spent_s:.0f} a second", flush=True)
    for name, count in sorted(budget.tried.items()):
        print(f"{count:8d}  {name}")
    print(f"found: {', '.join(sorted(set(found.failed))) or 'nothing'}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    if budget.EXAMPLES not in os.environ:
        # The number of examples is fixed when the properties are imported, so it is set before Python starts anew.
        os.environ[budget.EXAMPLES] = IN_A_ROUND
        os.execv(sys.executable, [sys.executable, "-m", "tests.fuzz", *sys.argv[1:]])  # noqa: S606 - no shell: ourselves
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))
