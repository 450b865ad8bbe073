"""The site that `make docs` builds from the pages in this folder, strictly: a warning fails."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

import rnnbench

project = "rnnbench"
author = "the rnnbench developers"
copyright = "2026, the rnnbench developers"
version = release = rnnbench.__version__

# The folder of the sources is the repository's, so that links to what is outside of docs/ hold too.
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "*.md",
    "exports/README.md",
    "benchmarks/results/portability.md",
]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
highlight_language = "text"
html_theme = "furo"
html_title = f"rnnbench {release}"
html_extra_path = ["_extra"]  # a first page that leads to docs/
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_heading_anchors = 3  # the anchors of GitHub, in links between pages
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
default_role = "code"  # docstrings have Markdown's backticks


def _keep_anchors(_app: Any, tree: nodes.document) -> None:
    """Headings get GitHub's anchors beside Sphinx's, in which an underscore is a hyphen."""
    for section in tree.findall(nodes.section):
        slug = section.get("slug")
        if slug and slug not in section["ids"]:
            section["ids"].append(slug)


def _plain_paths(_app: Any, _context: Any, lines: list[str]) -> None:
    """An option's default that is a path is shown as on the command line."""
    lines[:] = [re.sub(r"PosixPath\('(.*?)'\)", r"\1", line) for line in lines]


def _literal_examples(_app: Any, _context: Any, lines: list[str]) -> None:
    """Commands at the end of a verb's help stand as they are typed."""
    given = [line.strip("\b| ") for line in lines]
    if "Examples:" in given:
        start = given.index("Examples:")
        typed = [f"   {line}" for line in given[start + 1 :] if line]
        lines[:] = [*lines[:start], "Examples::", "", *typed, ""]


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("sphinx-click-process-epilog", _literal_examples)
    app.connect("doctree-read", _keep_anchors)
    app.connect("sphinx-click-process-options", _plain_paths)
