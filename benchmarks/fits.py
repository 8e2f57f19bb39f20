"""Seconds of a fit: every problem, every library that can do it."""

from benchmarks.libraries import LIBRARIES, takes_part
from benchmarks.measure import Row, interleaved
from benchmarks.problems import chosen

TITLE = "Seconds of a fit, as many times as torchmlp's"
MEANS = True  # over its problems
# column -> (who, as many times as whom)
RATIOS = {
    "scikit-learn f64 / ours f64": ("scikit-learn f64", "torchmlp f64"),
    "scikit-learn f32 / ours f32": ("scikit-learn f32", "torchmlp f32"),
    "scikit-learn f64 / ours f32": ("scikit-learn f64", "torchmlp f32"),
    "plain torch / ours f32": ("plain torch f32", "torchmlp f32"),
    "skorch / ours f32": ("skorch f32", "torchmlp f32"),
}
# Beside the comparison: skorch's own batches of 128 rows are another number of steps in an epoch,
# and pytabkit is there only where it is installed.
ASIDES = {
    "skorch defaults / ours f32": ("skorch defaults f32", "torchmlp f32"),
    "pytabkit / ours f32": ("pytabkit f32", "torchmlp f32"),
}


def columns(plan):
    asides = {name: pair for name, pair in ASIDES.items() if pair[0] in LIBRARIES}
    return list(RATIOS | asides)


def seconds_of(problem, plan):
    """Return the seconds that each library takes to fit a problem, by round."""
    taking_part = [name for name in LIBRARIES if takes_part(name, problem)]
    dtypes = {LIBRARIES[name][1] for name in taking_part}
    data = {dtype: problem.load(dtype) for dtype in dtypes}
    calls = {}
    for name in taking_part:
        who, dtype = LIBRARIES[name]
        X, y = data[dtype]
        fit = who(problem, X, plan.device)
        calls[name] = lambda fit=fit, X=X, y=y: fit(X, y)
    return interleaved(calls, problem.rounds(plan))


def row(problem, plan):
    taken = seconds_of(problem, plan)
    problem.forget()
    return Row.of(problem.name, taken, RATIOS | ASIDES)


def rows(plan):
    return (row(problem, plan) for problem in chosen(plan))
