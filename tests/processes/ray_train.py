"""A fit with the workers of Ray Train. Prints whether the model is that of one process."""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

here = str(Path(__file__).parent)
sys.path.insert(0, here)


def train(config):
    """Fit in each worker, and save the weights."""
    sys.path.insert(0, config["here"])
    import cases

    from torchmlp.distributed import data_parallel

    with data_parallel() as processes:
        model = cases.run("dropout")
        np.save(f"{config['folder']}/{processes.rank}.npy", model.coefs_[0])


if __name__ == "__main__":
    import cases

    path = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    with tempfile.TemporaryDirectory() as folder:
        TorchTrainer(
            train,
            train_loop_config={"folder": folder, "here": here},
            scaling_config=ScalingConfig(num_workers=2),
            run_config=RunConfig(storage_path=folder),
        ).fit()
        expected = cases.run("dropout").coefs_[0]
        coefs = [np.load(f"{folder}/{rank}.npy") for rank in range(2)]
    print(np.array_equal(*coefs), np.allclose(coefs[0], expected, rtol=1e-9, atol=1e-12))
