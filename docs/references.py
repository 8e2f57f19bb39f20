"""Links from docstrings: words in types, and names in single backticks."""

import importlib

from sphinx.domains.python import PyXRefRole

PUBLIC_MODULES = (
    "torchmlp",
    "torchmlp.inspection",
    "torchmlp.callbacks",
    "torchmlp.ensemble",
    "torchmlp.export",
    "torchmlp.preprocessing",
    "torchmlp.tabular",
    "torchmlp.joblib_backend",
    "torchmlp.distributed",
)


def public_names():
    """Return the full name of every public class and function of torchmlp, by its short name."""
    return {
        name: f"{module}.{name}"
        for module in PUBLIC_MODULES
        for name in importlib.import_module(module).__all__
    }


# Full names in a type, such as "skorch.history.History or None".
_LINKED = [
    "matplotlib.animation.FuncAnimation",
    "onnx.ModelProto",
    "pandas.DataFrame",
    "sklearn.exceptions.NotFittedError",
    "sklearn.neural_network.MLPClassifier",
    "sklearn.neural_network.MLPRegressor",
    "skorch.callbacks.Callback",
    "skorch.history.History",
    "torch.device",
    "torch.nn.Sequential",
]
# Short names in a type, such as "matplotlib Axes".
_SHORT = [
    "matplotlib.axes.Axes",
    "matplotlib.collections.EllipseCollection",
    "matplotlib.collections.LineCollection",
    "matplotlib.collections.PathCollection",
    "matplotlib.collections.QuadMesh",
    "matplotlib.colorbar.Colorbar",
    "matplotlib.contour.QuadContourSet",
    "matplotlib.figure.Figure",
    "matplotlib.image.AxesImage",
    "matplotlib.legend.Legend",
    "matplotlib.lines.Line2D",
    "matplotlib.patches.StepPatch",
    "matplotlib.text.Text",
    "numpy.ndarray",
    "numpy.random.RandomState",
    "sklearn.exceptions.NotFittedError",
    "sklearn.neural_network.MLPRegressor",
]
_BUILTINS = ["bool", "dict", "float", "int", "list", "object", "str", "tuple"]
_EXCEPTIONS = ["AttributeError", "ImportError", "RuntimeError", "TypeError", "ValueError"]

# The value of `numpydoc_xref_aliases`.
ALIASES = {
    **{name: f":py:obj:`{name}`" for name in _LINKED},
    **{name.rpartition(".")[2]: name for name in _SHORT},
    **{name: f":py:class:`{name}`" for name in _BUILTINS},
    **{name: f":py:exc:`{name}`" for name in _EXCEPTIONS},
    **public_names(),
    "ndarrays": "numpy.ndarray",
    "callable": ":py:obj:`callable`",
    "array-like": ":term:`sklearn:array-like`",
    "estimator": ":term:`sklearn:estimator`",
    "sequence": ":term:`python:sequence`",
    "path-like": ":term:`python:path-like object`",
    # numpydoc would link these words, which are clear without a link.
    **{name: name for name in ("None", "True", "False")},
}


class NameRole(PyXRefRole):
    """Names in single backticks: a link if there is such an object, otherwise a literal."""

    def result_nodes(self, document, env, node, is_ref):
        """Mark the node as a reference that may be missing."""
        node.update_all_atts({"reftype": "obj", "may_be_missing": True}, replace=True)
        return [node], []


def resolve_missing(app, env, node, contents):
    """Show a name without an object as a literal, without a warning."""
    return contents if node.get("may_be_missing") else None
