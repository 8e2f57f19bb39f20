"""Load a stored model in this process, predict one row, and print what that took.

Prints the processor time until the first prediction in seconds, the resident memory after it in
bytes, and the time of a further prediction of one row in seconds. Nothing but the standard library
is imported before the model is loaded.
"""

import sys
import time

from benchmarks.process import status

N_CALLS, N_REPEATS = 100, 20


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


def main(path, row):
    """Load the model at `path`, predict the numbers in `row`, and print the results.

    Parameters
    ----------
    path : str
    row : str
        Numbers, separated by commas.
    """
    loader = next(loader for suffix, loader in LOADERS.items() if path.endswith(suffix))
    predict = loader(path)
    import numpy as np

    X = np.array([row.split(",")], dtype=np.float32)
    label = predict(X)[0]
    # Other processes hardly change the processor time. It includes the start of Python.
    seconds, n_bytes = time.process_time(), status("VmRSS")
    print(label, seconds, n_bytes, min(_seconds_per_call(predict, X) for _ in range(N_REPEATS)))


def _seconds_per_call(predict, X):
    start = time.perf_counter()
    for _ in range(N_CALLS):
        predict(X)
    return (time.perf_counter() - start) / N_CALLS


if __name__ == "__main__":
    main(*sys.argv[1:])
