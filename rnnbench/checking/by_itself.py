"""A file that rounds values, in chunks or row by row, beside itself with everything at once.

Its scales are to be those of a row and a step. Where they are of a whole call, a loud step moves
those before it, and a loud row its neighbours: by no more than rounding moves everything, so that
the reference does not show it, and the file beside itself does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnbench.cases.cases import Case
from rnnbench.cases.standard import Standard
from rnnbench.cases.tolerance import Difference
from rnnbench.core.model import Arrays

_SHARE = 0.1
"""Of an output: one decision that fell otherwise, since a sum of floats had another order in a call
of another size, moves little; another scale moves everything."""


def compared_with_itself(
    standard: Standard, case: Case, outputs: Arrays, at_once: Arrays, coarseness: float
) -> dict[str, Difference]:
    """The outputs that are others than those at once.

    Args:
        standard: by what the module is judged.
        case: fed in chunks or row by row, with what the module gives, which rounds nothing.
        outputs: what came of it.
        at_once: what comes of the same inputs in one call.
        coarseness: how many times as coarse the runtime's functions are as PyTorch's.
    """
    found: dict[str, Difference] = {}
    for name, array in outputs.items():
        whole = at_once.get(name)
        if whole is None or array.dtype.kind != "f" or array.shape != whole.shape:
            continue
        itself = replace(case, reference=case.reference | {name: whole.astype(np.float64)})
        itself = replace(itself, eager=itself.eager | {name: whole})
        difference = standard.compare(itself, name, array, coarseness)
        if difference.reason and _share(standard, itself, name, array, coarseness) > _SHARE:
            why = f"{difference.reason}, beside itself with everything at once"
            found[name] = replace(difference, reason=why)
    return found


def _share(
    standard: Standard, case: Case, name: str, array: np.ndarray, coarseness: float
) -> float:
    off = np.abs(array.astype(np.float64) - case.reference[name])
    return float(np.mean(~(off <= standard.allowed(case, name, coarseness)))) if off.size else 0.0
