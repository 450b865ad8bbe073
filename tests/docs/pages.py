"""The Markdown of the README and docs/ as data: its code blocks, headings and links."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
OTHERS = ("CONTRIBUTING.md", "CHANGELOG.md", "exports/README.md")
GENERATED = ("commands.md", "api.md")
"""Pages that hold nothing but what Sphinx makes from the code."""

_FENCE = re.compile(r"(`{3,})(.*)")
_MARK = re.compile(r"<!-- not run: (.+) -->")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"# ([\w/]+\.py)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: the file that it is in.
        line: where it begins.
        language: what stands behind the fence.
        text: what is in it.
        reason: why it is not run; empty where it is.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str = ""

    @property
    def file(self):
        """The name that its first line gives it: `# my_model.py`; empty where it has none."""
        first = self.text.partition("\n")[0]
        named = _FILE.match(first) if self.language == "python" else None
        return named[1] if named else ""

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages():
    """The README, then every page of docs/ by name: the order in which their blocks are run."""
    return [README, *sorted(DOCS.glob("*.md"))]


def blocks(page):
    """The fenced blocks of a page, in order."""
    found, held = [], []
    fence = language = mark = ""
    start = 0
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if fence and line == fence:
            found.append(Block(page, start, language, "\n".join(held) + "\n", mark))
            fence = mark = ""
        elif fence:
            held.append(line)
        elif match:
            fence, language, start, held = match[1], match[2], number, []
        elif line.strip():
            noted = _MARK.fullmatch(line)
            mark = noted[1] if noted else ""
    assert not fence, f"{page}: a block is not closed"
    return found


def commands(block):
    """A console block as (command, what it prints) each."""
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            assert found, f"{block} begins with no command"
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip("\n")) for command, lines in found]


def prose(page):
    """The lines of a page that are in no block."""
    inside, kept = False, []
    for line in page.read_text("utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return kept


def anchors(page):
    """The anchors that GitHub gives a page's headings."""
    found = []
    for line in prose(page):
        if re.match(r"#{1,6} ", line):
            text = line.lstrip("#").strip().lower().replace("`", "")
            found.append(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


def links(page):
    """The targets of a page's links and pictures."""
    return [target for line in prose(page) for target in _LINK.findall(line)]
