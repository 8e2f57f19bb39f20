"""Started by the tests in several processes: ``torchrun worker.py FOLDER JOB ...``."""

import os
import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cases
from launch import MAX_SECONDS

from torchmlp.distributed import data_parallel

folder, *jobs = sys.argv[1:]
rank = int(os.environ["RANK"])


def shared(names):
    """Return the models of the cases in which all processes have the same rows."""
    with data_parallel(timeout=MAX_SECONDS):
        return {name: cases.run(name) for name in names}


def own():
    """Return the models of the cases in which each process has rows of its own."""
    with data_parallel(rows="own", timeout=MAX_SECONDS):
        models = {name: cases.run_own(name, rank) for name in cases.OWN_CASES}
        models |= {"unequal": cases.run_unequal(rank), "split": cases.run_split(rank)}
        models |= {f"labels {name}": cases.run_labels(name, rank) for name in cases.LABELS}
        for early_stopping in (False, True):
            name = f"continued, early_stopping={early_stopping}"
            path = f"{folder}/{early_stopping}.ckpt"
            models[name] = cases.run_continued(rank, path, [2, 4], early_stopping)
            models[f"not {name}"] = cases.run_continued(rank, None, [4], early_stopping)
        return models


JOBS = {
    "all": lambda: shared(cases.CASES),
    "some": lambda: shared(cases.SOME),
    "own": own,
}
for job in jobs:
    result = pickle.dumps(JOBS[job]())
    (Path(folder) / f"{job}.{rank}.pickle").write_bytes(result)
