"""Write the inventories of other projects, so that the build needs no network.

An inventory lists the addresses of documented objects for `sphinx.ext.intersphinx`. Those here hold
only the objects that the documentation of torchmlp mentions: in its pages, in the docstrings of its
public names, and in `references.ALIASES`. Run this script after adding a reference to an object of
another project::

    python docs/inventories/build.py
"""

import importlib
import inspect
import re
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
HEADER = (
    "# Sphinx inventory version 2\n"
    "# Project: {}\n"
    "# Version: \n"
    "# The remainder of this file is compressed using zlib.\n"
)


@dataclass(frozen=True)
class Project:
    """Where the documentation of a project describes its objects.

    Attributes
    ----------
    url : str
        Address of the documentation.
    pages : dict of str to str
        Page of the objects whose name begins with the key. The longest key counts. In the page,
        ``{name}`` is the full name, ``{page}`` that without the method, ``{module}`` the last part
        of the module.
    packages : tuple of str
        Top-level packages. Names without a dot are builtins if they are in `pages`.
    labels : dict of str to str
        Page and anchor of terms and labels, such as "std:term estimator".
    module_pages : dict of str to str
        Page of the modules whose name begins with the key. Other modules are left out.
    """

    url: str
    pages: dict[str, str]
    packages: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    module_pages: dict[str, str] = field(default_factory=dict)

    def page_of(self, name, page):
        """Return the page of a class, function or member, with its anchor, or None."""
        pattern = _longest(self.pages, name)
        module = page.rpartition(".")[0].rpartition(".")[2]
        return pattern and pattern.format(name=name, page=page, module=module) + f"#{name}"

    def page_of_module(self, name):
        """Return the page of a module, with its anchor, or None."""
        pattern = _longest(self.module_pages, name)
        return pattern and pattern.format(name=name) + f"#module-{name}"


def _longest(patterns, name):
    """Return the pattern with the longest key that a name begins with, or None."""
    keys = [key for key in patterns if name.startswith(key)]
    return patterns[max(keys, key=len)] if keys else None


PROJECTS = {
    "python": Project(
        "https://docs.python.org/3/",
        {
            **dict.fromkeys(
                ("bool", "callable", "float", "int", "object"), "library/functions.html"
            ),
            **dict.fromkeys(("dict", "list", "str", "tuple"), "library/stdtypes.html"),
            **dict.fromkeys(
                ("AttributeError", "ImportError", "RuntimeError", "TypeError", "ValueError"),
                "library/exceptions.html",
            ),
            "functools.": "library/functools.html",
        },
        ("functools", "logging"),
        {
            "std:term sequence": "glossary.html#term-sequence",
            "std:term path-like object": "glossary.html#term-path-like-object",
        },
        module_pages={"logging": "library/logging.html"},
    ),
    "sklearn": Project(
        "https://scikit-learn.org/stable/",
        {"sklearn.": "modules/generated/{page}.html"},
        ("sklearn",),
        {
            "std:term array-like": "glossary.html#term-array-like",
            "std:term estimator": "glossary.html#term-estimator",
            "std:term meta-estimator": "glossary.html#term-meta-estimator",
            "std:label metadata_routing": "metadata_routing.html#metadata-routing",
            "std:label df_output_transform": "modules/df_output_transform.html#df-output-transform",
            "std:label sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
                "auto_examples/miscellaneous/plot_set_output.html"
            ),
        },
        {"sklearn.": "api/{name}.html"},
    ),
    "skorch": Project(
        "https://skorch.readthedocs.io/en/stable/",
        {
            "skorch.": "net.html",
            "skorch.callbacks": "callbacks.html",
            "skorch.history": "history.html",
        },
        ("skorch",),
        module_pages={"skorch.callbacks": "callbacks.html", "skorch.history": "history.html"},
    ),
    "torch": Project(
        "https://docs.pytorch.org/docs/stable/",
        {
            "torch.": "generated/{page}.html",
            "torch.Tensor": "tensors.html",
            "torch.autocast": "amp.html",
            "torch.device": "tensor_attributes.html",
            "torch.dtype": "tensor_attributes.html",
            "torch.optim.Optimizer": "optim.html",
            "torch.utils.data.": "data.html",
        },
        ("torch",),
        module_pages={"torch.optim": "optim.html"},
    ),
    "numpy": Project(
        "https://numpy.org/doc/stable/",
        {
            "numpy.": "reference/generated/{page}.html",
            "numpy.random.RandomState": "reference/random/legacy.html",
            "numpy.random.Generator": "reference/random/generator.html",
        },
        ("numpy",),
    ),
    "scipy": Project(
        "https://docs.scipy.org/doc/scipy/",
        {"scipy.": "reference/generated/{page}.html"},
        ("scipy",),
    ),
    "matplotlib": Project(
        "https://matplotlib.org/stable/",
        {
            "matplotlib.": "api/{module}_api.html",
            "matplotlib.axes.": "api/_as_gen/{name}.html",
            "matplotlib.figure.": "api/_as_gen/{name}.html",
            "matplotlib.animation.": "api/_as_gen/{page}.html",
            "matplotlib.image.": "api/_as_gen/{page}.html",
            "matplotlib.lines.": "api/_as_gen/{page}.html",
            "matplotlib.patches.": "api/_as_gen/{page}.html",
            "matplotlib.pyplot.": "api/_as_gen/{page}.html",
        },
        ("matplotlib",),
    ),
    "pandas": Project(
        "https://pandas.pydata.org/docs/",
        {"pandas.": "reference/api/{page}.html"},
        ("pandas",),
    ),
    "joblib": Project(
        "https://joblib.readthedocs.io/en/stable/",
        {"joblib.": "generated/{page}.html"},
        ("joblib",),
    ),
    "skops": Project(
        "https://skops.readthedocs.io/en/stable/",
        {"skops.": "modules/classes.html"},
        ("skops",),
    ),
    "onnx": Project("https://onnx.ai/onnx/", {"onnx.": "api/classes.html"}, ("onnx",)),
    "skl2onnx": Project(
        "https://onnx.ai/sklearn-onnx/", {"skl2onnx.": "api_summary.html"}, ("skl2onnx",)
    ),
    "ipython": Project(
        "https://ipython.readthedocs.io/en/stable/",
        {"IPython.display.": "api/generated/IPython.display.html"},
        ("IPython",),
    ),
}


def texts():
    """Yield everything that may mention an object: pages, docstrings and aliases."""
    import references

    yield from (path.read_text(encoding="utf-8") for path in HERE.parent.rglob("*.md"))
    yield from references.ALIASES.values()
    for name in references.public_names().values():
        public = _object(name)[0]
        yield inspect.getdoc(public)
        members = inspect.getmembers(public) if inspect.isclass(public) else []
        yield from (inspect.getdoc(value) or "" for key, value in members if key[0] != "_")


def _object(name):
    """Return the object of a full name and the name of its module, or None without one."""
    module, attributes = name, []
    while module:
        try:
            found = importlib.import_module(module)
        except ImportError:
            module, _, last = module.rpartition(".")
            attributes.insert(0, last)
            continue
        for attribute in attributes:
            try:
                found = getattr(found, attribute)
            except (AttributeError, ImportError):
                return None, module
        return found, module
    return None, ""


def _entries(name, project):
    """Return the lines of an object in an inventory, none if it has no page of its own."""
    is_full_name = "." in name or name in project.module_pages
    found, module = _object(name if is_full_name else f"builtins.{name}")
    if inspect.ismodule(found):
        page = project.page_of_module(name)
        return [f"{name} py:module 0 {page} -"] if page else []
    is_member = "." in name and name.count(".") == module.count(".") + 2
    page = project.page_of(name, name.rpartition(".")[0] if is_member else name)
    roles = _roles(found, name, is_member) if page else []
    return [f"{name} py:{role} 1 {page} -" for role in roles]


def _roles(found, name, is_member):
    if inspect.isclass(found):
        if issubclass(found, BaseException):
            return ["exception"]
        # Some classes are documented as functions, for example `functools.partial`.
        return ["class", "function"] if name.rpartition(".")[2].islower() else ["class"]
    if callable(found):
        return ["method" if is_member else "function"]
    return ["property"] if is_member and found is not None else []


def entries(project, words):
    """Return the sorted lines of the inventory of a project.

    Parameters
    ----------
    project : Project
    words : set of str
        Full names, of any project.
    """
    own = {
        word
        for word in words
        if word in project.pages
        or (word.partition(".")[0] in project.packages and "._" not in word)
    }
    found = [line for name in own for line in _entries(name, project)]
    labels = []
    for label, uri in project.labels.items():
        role, _, name = label.partition(" ")
        labels.append(f"{name} {role} -1 {uri} {name if role == 'std:label' else '-'}")
    return sorted([*found, *labels])


def contents():
    """Return the lines of each inventory, by the name of the project."""
    importlib.import_module("sklearn.experimental.enable_halving_search_cv")
    words = {word for text in texts() for word in re.findall(r"\b[A-Za-z]\w*(?:\.\w+)*", text)}
    return {name: entries(project, words) for name, project in PROJECTS.items()}


def read(name):
    """Return the lines of an inventory that `write` has written."""
    *_, compressed = (HERE / f"{name}.inv").read_bytes().split(b"\n", HEADER.count("\n"))
    return zlib.decompress(compressed).decode().splitlines()


def write(name, lines):
    """Write an inventory in the format of Sphinx."""
    compressed = zlib.compress("".join(f"{line}\n" for line in lines).encode(), 9)
    (HERE / f"{name}.inv").write_bytes(HEADER.format(name).encode() + compressed)


def main():
    """Write all inventories."""
    sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
    for name, lines in contents().items():
        write(name, lines)
        print(name, len(lines))


if __name__ == "__main__":
    main()
