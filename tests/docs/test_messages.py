"""Each message on the page of troubleshooting is one that the code says."""

import ast
import re

import pytest

from tests.docs.pages import DOCS, ROOT, prose

MESSAGES = [
    message
    for line in prose(DOCS / "troubleshooting.md")
    if line.startswith("| `")
    for message in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]


@pytest.fixture(scope="module")
def said():
    """All text of the code; what is formatted into it breaks it."""
    found = []
    for file in (ROOT / "rnnbench").rglob("*.py"):
        if "targets" not in file.parts:
            nodes = ast.walk(ast.parse(file.read_text("utf-8")))
            found += [n.value for n in nodes if isinstance(n, ast.Constant)]
    return "\n".join(text for text in found if isinstance(text, str))


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_it(said, message):
    missing = [part for part in message.split("...") if part.strip(" .") not in said]
    assert missing == []
