"""A search with the joblib backend of Ray. Prints the best score and the parameters."""

from pathlib import Path

import ray
from joblib import parallel_config
from ray.util.joblib import register_ray
from searches import make_search, report

here = Path(__file__).parent
ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(here)}})
register_ray()
with parallel_config(backend="ray", n_jobs=2):
    report(make_search())
