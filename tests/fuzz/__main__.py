"""Run the tests of this folder with random examples: ``python tests/fuzz MINUTES``.

Further arguments are those of pytest, such as ``-k configurations``.

Each round runs all tests with another seed, until the time is over. Failures are printed with the
example. The last lines have the number of examples of each test.
"""

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

os.environ["TORCHMLP_FUZZ_PROFILE"] = "fuzz"

import pytest

VALID = {"valid", "interesting"}  # hypothesis also counts examples that it could not complete


class Examples:
    """A plugin of pytest that counts examples, and skips tests when the time is over."""

    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes
        self.counts = Counter()
        self.failures = Counter()
        self.rounds = 0

    @property
    def is_over(self):
        return time.monotonic() > self.end

    def pytest_runtest_setup(self):
        if self.is_over:
            pytest.skip("the time is over")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        """Count the valid examples of the test, which hypothesis gives to its own plugin."""
        from hypothesis.statistics import collector

        theirs = collector.value

        def count(statistics):
            for phase in ("reuse-phase", "generate-phase"):
                cases = statistics.get(phase, {}).get("test-cases", [])
                self.counts[item.nodeid] += sum(case["status"] in VALID for case in cases)
            theirs(statistics)

        with collector.with_value(count):
            return (yield)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failures[report.nodeid] += 1


def main(minutes, *arguments):
    examples = Examples(minutes)
    options = ["-q", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=short"]
    while not examples.is_over:
        seed = random.SystemRandom().randrange(2**32)
        examples.rounds += 1
        pytest.main(
            [str(Path(__file__).parent), *options, f"--hypothesis-seed={seed}", *arguments],
            [examples],
        )
        report(examples)
    return bool(examples.failures)


def report(examples):
    """Print the number of examples of each test in all rounds."""
    print(f"\n{examples.rounds} rounds, {examples.counts.total()} examples")
    for name, count in examples.counts.items():
        failures = examples.failures[name]
        print(f"{count:8}  {Path(name).name}" + (f"  {failures} ROUNDS FAILED" if failures else ""))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), *sys.argv[2:]))
