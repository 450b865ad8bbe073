r"""matplotlib's SVG -> what a page needs of it: about a quarter of the bytes, and the page's fonts.

`<g><path d="M 51.84 128.16 \nL 51.84 7.2 \n" style="fill: none; stroke: #000"/></g>` becomes
`<path d="M51.8 128.2L51.8 7.2" style="fill:none;stroke:#000"/>`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

STYLE = "svg *{stroke-linejoin:round;stroke-linecap:butt}"
"""What matplotlib writes into each picture, for the page to say once."""

_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_MEASURES = re.compile(r' (d|x|y|width|height|transform)="([^"]*)"')
_INVISIBLE = re.compile(r'<path [^>]*style="fill: none"\s*/>')
_ID = re.compile(r'(\bid="|href="#|url\(#)([^")]+)')
_GROUP = re.compile(r"<g( [^>]*)?>|</g>")


def compact(svg: str) -> str:
    """An `<svg>` element without what does not show.

    Args:
        svg: from `<svg` on, with text as text.

    Returns:
        The same picture: places to a tenth of a point, no fonts, no comments, no empty groups.
    """
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    svg = re.sub(r'<g id="[a-z]+[a-z0-9.]*_\d+"/?>', "<g>", svg)  # not unique in a page; unused
    svg = re.sub(r"<g/>", "", svg)
    svg = re.sub(r"font-family: [^;\"]*; ", "", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    svg = _INVISIBLE.sub("", svg).replace("xlink:href", "href")
    svg = _MEASURES.sub(lambda found: f' {found[1]}="{_measures(found[2])}"', svg)
    svg = re.sub(r'style="([^"]*)"', lambda found: f'style="{_declarations(found[1])}"', svg)
    svg = re.sub(r">\s+<", "><", svg)
    return _without_bare_groups(svg)


def _measures(text: str) -> str:
    r"""`M 51.84 128.16 \nL 51.84 7.2 \n` -> `M51.8 128.2L51.8 7.2`."""
    short = _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), text)
    return re.sub(r"\s*([A-Za-z(),])\s*", r"\1", " ".join(short.split()))


def _declarations(text: str) -> str:
    return re.sub(r"\s*([:;])\s*", r"\1", text).strip(";")


def _without_bare_groups(svg: str) -> str:
    """Groups that have no attribute hold their elements to no purpose."""
    kept: list[bool] = []

    def one(found: re.Match[str]) -> str:
        if found[0] == "</g>":
            return "</g>" if kept.pop() else ""
        kept.append(found[1] is not None)
        return found[0] if kept[-1] else ""

    return _GROUP.sub(one, svg)


def shared(pictures: Sequence[str]) -> tuple[str, list[str]]:
    """Pictures of one page: looks that they have in common are said once.

    Args:
        pictures: compact ones, whose ids differ.

    Returns:
        CSS rules, and the pictures with a class (`s0`, `s1` ...) for each look and short ids.
    """
    looks: dict[str, str] = {}
    ids: dict[str, str] = {}

    def look(found: re.Match[str]) -> str:
        return f'class="{looks.setdefault(found[1], f"s{len(looks)}")}"'

    def place(found: re.Match[str]) -> str:
        return found[1] + ids.setdefault(found[2], f"i{len(ids)}")

    short = [_ID.sub(place, re.sub(r'style="([^"]*)"', look, picture)) for picture in pictures]
    return "".join(f".{name}{{{style}}}" for style, name in looks.items()), short
