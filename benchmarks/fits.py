"""Fit time of every problem with every library that supports it."""

from benchmarks.libraries import LIBRARIES, supports
from benchmarks.measure import Row, interleaved
from benchmarks.problems import problems_of

TITLE = "Fit time relative to torchmlp"
MEANS = True  # report geometric means over the problems
# column -> (numerator, denominator)
RATIOS = {
    "scikit-learn f64 / ours f64": ("scikit-learn f64", "torchmlp f64"),
    "scikit-learn f32 / ours f32": ("scikit-learn f32", "torchmlp f32"),
    "scikit-learn f64 / ours f32": ("scikit-learn f64", "torchmlp f32"),
    "plain torch / ours f32": ("plain torch f32", "torchmlp f32"),
    "skorch / ours f32": ("skorch f32", "torchmlp f32"),
}
# Not in the documentation: the default batches of skorch, of 128 rows, result in a different number
# of steps, and pytabkit is an optional dependency.
EXTRA_RATIOS = {
    "skorch defaults / ours f32": ("skorch defaults f32", "torchmlp f32"),
    "pytabkit / ours f32": ("pytabkit f32", "torchmlp f32"),
}


def columns(plan):
    extra = {name: pair for name, pair in EXTRA_RATIOS.items() if pair[0] in LIBRARIES}
    return list(RATIOS | extra)


def seconds_of(problem, plan):
    """Return the fit times of each library in seconds, by round."""
    names = [name for name in LIBRARIES if supports(name, problem)]
    dtypes = {LIBRARIES[name][1] for name in names}
    data = {dtype: problem.load(dtype) for dtype in dtypes}
    calls = {}
    for name in names:
        library, dtype = LIBRARIES[name]
        X, y = data[dtype]
        fit = library(problem, X, plan.device)
        calls[name] = lambda fit=fit, X=X, y=y: fit(X, y)
    return interleaved(calls, problem.rounds(plan))


def row(problem, plan):
    times = seconds_of(problem, plan)
    problem.clear()
    return Row.of(problem.name, times, RATIOS | EXTRA_RATIOS)


def rows(plan):
    return (row(problem, plan) for problem in problems_of(plan))
