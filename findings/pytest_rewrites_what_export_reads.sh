#!/usr/bin/env bash
# torch.export takes an `assert` on a size from data in a script, and refuses the same line in pytest
#
# torch 2.13.0 and pytest 9.1.1 on Python 3.11, seen on 2026-11-29. Where a module asks for the truth
# of a size that is a number in a tensor, torch.export reads the bytecode around the question: is it
# that of an `assert`, it becomes a runtime assertion of the program, else the export ends. pytest
# compiles the asserts of a test file anew, so that they say more, and then it is no assert any more.
# So a model that is defined in a test file, as small ones are, cannot be exported there, although
# the same file exports it when run as a script. `pytest --assert=plain` exports it, and so does
# torch._check(a == b) in the place of the assert.
#
# Output seen:
#   as a script: exported, with Eq(u0, 5) asserted
#   in pytest: GuardOnDataDependentSymNode: Eq(u0, 5)
#   in pytest --assert=plain: exported, with Eq(u0, 5) asserted
#   in pytest, torch._check: exported, with Eq(u0, 5) asserted
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6 pytest==9.1.1

cat > "$folder/test_longest.py" <<'P'
import re
import sys

import torch
from torch import nn


class Longest(nn.Module):
    """x [batch, time, features], as long as the longest row, which has to be all of it."""

    def __init__(self, checked):
        super().__init__()
        self.checked = checked

    def forward(self, x, lengths):
        longest = lengths.max().item()
        torch._check(longest >= 1)
        torch._check(longest <= x.shape[1])
        y = x[:, :longest]
        if self.checked:
            torch._check(y.shape[1] == x.shape[1])
        else:
            assert y.shape[1] == x.shape[1]
        return y.cumsum(1)


def say(where, checked=False):
    try:
        given = torch.randn(2, 5, 3), torch.tensor([5, 2])
        program = torch.export.export(Longest(checked), given, strict=False)
        asserted = "Eq(u0, 5)" in str(program.graph)
        print(f"{where}: exported, {'with' if asserted else 'without'} Eq(u0, 5) asserted")
    except Exception as error:
        asked = re.search(r"expression (Eq\(u0, 5\))", str(error))
        print(f"{where}: {type(error).__name__}: {asked[1] if asked else error}")


def test_assert(pytestconfig):
    plain = pytestconfig.getoption("assertmode") == "plain"
    say("in pytest --assert=plain" if plain else "in pytest")


def test_checked():
    say("in pytest, torch._check", checked=True)


if __name__ == "__main__":
    say("as a script")
P
cd "$folder"
python="$folder/venv/bin/python"
in_pytest=("$python" -m pytest -s -q -p no:cacheprovider test_longest.py)
found=$(
    "$python" test_longest.py 2>> log
    "${in_pytest[@]}" -k assert 2>> log | grep "^in pytest"
    "${in_pytest[@]}" -k assert --assert=plain 2>> log | grep "^in pytest"
    "${in_pytest[@]}" -k checked 2>> log | grep "^in pytest"
)
echo "$found"
[ "$found" = "as a script: exported, with Eq(u0, 5) asserted
in pytest: GuardOnDataDependentSymNode: Eq(u0, 5)
in pytest --assert=plain: exported, with Eq(u0, 5) asserted
in pytest, torch._check: exported, with Eq(u0, 5) asserted" ]
