"""Time and memory of a new process that loads a fitted classifier and predicts one row."""

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np

from benchmarks import probe
from benchmarks.machine import ROOT
from benchmarks.measure import Ratio, Row, interleaved
from benchmarks.predictions import N_FEATURES, fitted, random_rows

TITLE = "Loading a model in a new process and predicting one row, relative to a pickle"
MEANS = False
RATIO = "time to first prediction / that of a pickle"
SECONDS, MEMORY = "processor seconds to first prediction", "MiB resident"
LATENCY, SIZE = "microseconds per row", "KiB of file"


class Measured(NamedTuple):
    """Results of one process."""

    label: int
    seconds: float
    n_bytes: int
    latency: float


def columns(plan):
    return [RATIO, SECONDS, MEMORY, LATENCY, SIZE]


def files(folder):
    """Write a classifier in every form to a folder. Return the paths by name of the form."""
    from torchmlp.export import to_onnx  # an optional dependency

    model = fitted("torchmlp", "float32", "cpu")
    X = random_rows(1, N_FEATURES, "float32")
    paths = {
        "pickle": folder / "model.pickle",
        "joblib": folder / "model.joblib",
        "to_sklearn(), pickle": folder / "sklearn.pickle",
        "ONNX, onnxruntime": folder / "model.onnx",
    }
    paths["pickle"].write_bytes(pickle.dumps(model))
    joblib.dump(model, paths["joblib"])
    paths["to_sklearn(), pickle"].write_bytes(pickle.dumps(model.to_sklearn()))
    paths["ONNX, onnxruntime"].write_bytes(to_onnx(model, X).SerializeToString())
    return paths


def measure(path):
    """Return the `Measured` results of a new process that loads the model at `path`."""
    row = ",".join(map(str, random_rows(1, N_FEATURES, "float32")[0]))
    module = "benchmarks.first_prediction"
    command = [sys.executable, "-m", module, str(path), row]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    label, seconds, n_bytes, latency = child.stdout.split()
    return Measured(int(label), float(seconds), int(n_bytes), float(latency))


def rows(plan, n_warm=1):
    if not probe.available():
        print("The memory of a process can be measured on Linux only.")
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = files(Path(folder))
        # The first round fills the cache of the file system.
        results = interleaved(paths, plan.rounds, measure, n_warm=n_warm)
        sizes = {form: path.stat().st_size for form, path in paths.items()}
    seconds = {form: [r.seconds for r in measured] for form, measured in results.items()}
    for form, measured in results.items():
        figures = {
            SECONDS: float(np.median(seconds[form])),
            MEMORY: float(np.median([r.n_bytes for r in measured])) / (1 << 20),
            LATENCY: 1e6 * min(r.latency for r in measured),  # other processes only add to it
            SIZE: sizes[form] / (1 << 10),
        }
        ratio = Ratio.of(seconds[form], seconds["pickle"])
        yield Row(form, {RATIO: ratio}, figures=figures, rounds=plan.rounds)
