"""Started by the tests in several processes: ``torchrun worker.py FOLDER JOB ...``."""

import os
import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cases

from torchmlp.distributed import data_parallel

folder, *jobs = sys.argv[1:]
rank = int(os.environ["RANK"])


def shared(names):
    """Return the models of the cases in which all processes have the same rows."""
    with data_parallel(timeout=60):
        return {name: cases.run(name) for name in names}


def own():
    """Return the models of the cases in which each process has rows of its own."""
    with data_parallel(rows="own", timeout=60):
        models = {name: cases.run_own(name, rank) for name in cases.OWN_CASES}
        models |= {"unequal": cases.run_unequal(rank), "split": cases.run_split(rank)}
        models["uninterrupted"] = cases.run_continued(rank, None, [4])
        models["continued"] = cases.run_continued(rank, f"{folder}/own.ckpt", [2, 4])
        return models


JOBS = {
    "all": lambda: shared(cases.CASES),
    "some": lambda: shared(cases.SOME),
    "own": own,
}
for job in jobs:
    result = pickle.dumps(JOBS[job]())
    (Path(folder) / f"{job}.{rank}.pickle").write_bytes(result)
