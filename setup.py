"""The description of the package as an index shows it: there, no link leads into a checkout.

    [check](docs/check.md)  ->  check (`docs/check.md`)

The pages themselves are installed with the package, in `share/doc/rnnbench`.
"""

import re
from pathlib import Path

from setuptools import setup

_LINK = re.compile(r"!?\[([^\]]+)\]\((?!https?://|#)([^)\s]+)\)")
_WHERE = """
The pages named `docs/...` are installed with the package, in `share/doc/rnnbench` of the
environment; everything named is in the source archive.
"""


def description() -> str:
    """The README, with a file's name where it has a link to a file."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return _LINK.sub(_named, text) + _WHERE


def _named(link: re.Match[str]) -> str:
    words, target = link[1], link[2].partition("#")[0]
    plain = words.strip("`")
    return f"`{target}`" if plain in target else f"{words} (`{target}`)"


setup(long_description=description(), long_description_content_type="text/markdown")
