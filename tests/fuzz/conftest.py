"""Settings of hypothesis for the tests of this folder."""

import os

from hypothesis import HealthCheck, Phase, settings

# The fits take most of the time, and large examples are part of the test.
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
COMMON = dict(
    phases=set(Phase) - {Phase.explain},  # it takes longer than everything else
    deadline=None,
    database=None,
    suppress_health_check=SLOW,
    print_blob=True,
)

# In the test suite: the same examples in every run.
settings.register_profile(
    "tests", max_examples=200, stateful_step_count=12, derandomize=True, **COMMON
)
# `make fuzz`: other examples in every round. See __main__.py.
settings.register_profile(
    "fuzz", max_examples=200, stateful_step_count=50, derandomize=False, **COMMON
)
settings.load_profile(os.environ.get("TORCHMLP_FUZZ_PROFILE", "tests"))
