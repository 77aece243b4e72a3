"""Sphinx: `pip install ".[docs]"`, then `sphinx-build -W docs build/html`."""

import re
from importlib.metadata import version as version_of

project = "lmmlasso_fast"
author = "the lmmlasso_fast developers"
copyright = f"2026, {author}"
release = version_of("lmmlasso-fast")
version = release

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
# .rst: what autosummary generates
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# pages link to files of the repository, which are not pages here; scikit-learn's inherited methods
# to its own manual
suppress_warnings = ["myst.xref_missing", "ref.ref", "ref.term"]

autosummary_generate = True
autodoc_default_options = {"members": True}
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = f"lmmlasso_fast {release}"
html_theme_options = {
    "show_prev_next": True,
    "navigation_depth": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_show_sourcelink = False


_CODE = re.compile(r"(``?[^`]*``?)")


def _as_markup(app, what, name, obj, options, lines):
    """Docstrings are plain text: |x| and coef_ are no markup, and what is indented is a formula."""
    found, in_text = [], True  # until the first section of numpydoc, whose entries are indented too
    for k, line in enumerate(lines):
        in_text = in_text and not line.startswith("---")
        is_formula = in_text and line.startswith("    ")
        if is_formula and not lines[k - 1]:
            found += ["::", ""]
        parts = _CODE.split(line)
        for i in range(0, 0 if is_formula else len(parts), 2):
            parts[i] = re.sub(r"(?<=\w)_(?!\w)", r"\_", parts[i].replace("|", r"\|"))
        found.append("".join(parts))
    lines[:] = found


def setup(app):
    app.connect("autodoc-process-docstring", _as_markup, priority=1)
