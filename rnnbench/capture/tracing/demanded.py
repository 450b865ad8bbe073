"""What a module demands of a size that is a number in a tensor.

    x, _ = pad_packed_sequence(packed)        x [u0, batch, 8], where u0 is the longest length
    assert list(x.size()) == [n, batch, 8] -> _assert_scalar(eq(u0, n))

A trace cannot say whether it is so, and where it is not the module raises: it is taken to be so,
and asserted in the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import torch
from sympy.core.relational import Relational
from torch._guards import detect_fake_mode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

_MOST = 8  # comparisons in one test


def demanded(test: Callable[[], Any], otherwise: bool) -> Any:
    """What a test gives, once it is known of sizes what is needed for the module not to raise.

    Args:
        test: it may ask for the truth of a comparison of sizes.
        otherwise: the truth of the test on which the module does not raise.
    """
    for _ in range(_MOST):
        try:
            return test()
        except GuardOnDataDependentSymNode as error:
            if not _settled(error.cond, otherwise):
                raise
    return test()


def is_of_sizes(error: BaseException) -> bool:
    """Whether an error asks for the truth of a comparison of sizes."""
    return isinstance(error, GuardOnDataDependentSymNode)


def _settled(condition: Any, otherwise: bool) -> bool:
    """Tells the trace of a comparison: sizes are equal, or as the test is to turn out."""
    fake = detect_fake_mode()
    if fake is None or fake.shape_env is None or not isinstance(condition, Relational):
        return False
    if isinstance(condition, sympy.Ne):
        holds = sympy.Eq(*condition.args)
    elif isinstance(condition, sympy.Eq) or otherwise:
        holds = condition
    else:
        holds = sympy.Not(condition)
    torch._check(fake.shape_env.create_symboolnode(holds))
    return True
