"""Started by the tests in several processes: ``torchrun worker.py JOB FOLDER``."""

import os
import pickle
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cases

from torchmlp.distributed import data_parallel

job, folder = sys.argv[1], Path(sys.argv[2])
rank = int(os.environ.get("RANK", 0))


def shared():
    """Run all cases."""
    models = {}
    with data_parallel(timeout=60):
        for name in cases.CASES:
            try:
                models[name] = cases.run(name)
            except Exception as error:
                raise RuntimeError(f"case {name}") from error
    return models


models = {"shared": shared}[job]()
(folder / f"{rank}.pickle").write_bytes(pickle.dumps(models))
