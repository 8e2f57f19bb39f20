"""Load a stored model in this process, predict one row, and print what that took.

Prints the seconds until the first prediction, the resident memory after it in bytes, and the
seconds of each further prediction of one row. Nothing but the standard library is imported before
the model is loaded.
"""

import sys
import time

from benchmarks.process import status

N_CALLS, N_REPEATS = 200, 5


def load_pickle(path):
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file).predict


def load_joblib(path):
    import joblib

    return joblib.load(path).predict


def load_onnx(path):
    from onnxruntime import InferenceSession

    session = InferenceSession(path)
    return lambda X: session.run(["label"], {"X": X})[0]


LOADERS = {".pickle": load_pickle, ".joblib": load_joblib, ".onnx": load_onnx}


def main(started, path, row):
    """Load the model at `path`, predict the numbers in `row`, and print the results.

    Parameters
    ----------
    started : str
        Time at which the parent process started this one, in seconds since the epoch.
    path : str
    row : str
        Numbers, separated by commas.
    """
    loader = next(loader for suffix, loader in LOADERS.items() if path.endswith(suffix))
    predict = loader(path)
    import numpy as np

    X = np.array([row.split(",")], dtype=np.float32)
    label = predict(X)[0]
    seconds, n_bytes = time.time() - float(started), status("VmRSS")
    latencies = []
    for _ in range(N_REPEATS):
        start = time.perf_counter()
        for _ in range(N_CALLS):
            predict(X)
        latencies.append((time.perf_counter() - start) / N_CALLS)
    print(label, seconds, n_bytes, sorted(latencies)[N_REPEATS // 2])


if __name__ == "__main__":
    main(*sys.argv[1:])
