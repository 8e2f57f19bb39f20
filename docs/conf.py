"""Configuration of Sphinx."""

import sys
from importlib.metadata import metadata, version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import generate
from inventories.build import PROJECTS
from references import ALIASES, NameRole, resolve_missing

project = "torchmlp"
author = "The torchmlp developers"
copyright = author
version = release = version("torchmlp")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_templates", "generated", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = True
default_role = "py:name"

autosummary_generate = True
autosummary_imported_members = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # types are in the docstrings
numpydoc_class_members_toctree = False
numpydoc_show_inherited_class_members = {"torchmlp.joblib_backend.TorchMLPBackend": False}
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = ALIASES
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}
intersphinx_mapping = {
    name: (project.url, str(DOCS / "inventories" / f"{name}.inv"))
    for name, project in PROJECTS.items()
}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are stored with their outputs, and tests execute them
nb_number_source_lines = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"torchmlp {release}"
html_static_path = ["_static"]
html_css_files = ["torchmlp.css"]
html_show_sourcelink = False
html_sidebars = {"benchmarks": [], "development": []}  # these pages have no subpages
toc_object_entries_show_parents = "hide"
html_baseurl = dict(url.split(", ") for url in metadata("torchmlp").get_all("Project-URL", [])).get(
    "Documentation", ""
)
html_theme_options = {
    "logo": {"text": "torchmlp"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def setup(app):
    """Write the pages that are made from other files, and link names in single backticks."""
    app.connect("config-inited", lambda app, config: generate.write(DOCS))
    app.add_role_to_domain("py", "name", NameRole())
    app.connect("missing-reference", resolve_missing, priority=900)  # after intersphinx
