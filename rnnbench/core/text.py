"""Names are data: what comes from a file is shown as it is, and does nothing to who shows it."""

from __future__ import annotations

import re
from html import escape

# Control characters of both kinds, line ends of Unicode, and what turns the direction of text.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COLOURED = re.compile(r"(\x1b\[3[0-7]m)([^\x1b]*)(\x1b\[0m)")  # as click colours a word
_MARKUP = re.compile(r"[\\`|<\[]")


def harmless(text: str) -> str:
    r"""A name in one line: control characters are spelt out, as `\x1b` and `\n`."""
    return _CONTROLS.sub(lambda found: _spelt(found[0]), text)


def harmless_lines(text: str) -> str:
    """Several lines of it, in which words have the colours that we gave them."""
    parts = _COLOURED.split(text)  # text, colour, word, end, text ...
    return "".join(
        part if i % 4 in (1, 3) else "\n".join(map(_line, part.split("\n")))
        for i, part in enumerate(parts)
    )


def in_markdown(text: str) -> str:
    """A name in a cell or line of Markdown, where it is neither markup nor HTML."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", harmless(text))


def in_html(text: str) -> str:
    """A name in a page or an attribute of one."""
    return escape(harmless(text))


def _line(text: str) -> str:
    return "\t".join(map(harmless, text.split("\t")))


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
