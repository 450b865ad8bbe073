"""What to change in a model that cannot be exported: one row for each kind of obstacle."""

from __future__ import annotations

import re

# What the message or the line of code holds -> what to do. The first that fits is said.
_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"keeps its state",
        "--lift-state (Model(..., lift_state=True)) makes it an input and an output; or take the "
        "state as an argument of forward, return its new value, and declare both "
        "(role='state', and states={input: output})",
    ),
    (
        r"\n(while|if)\b.*\n.*depends on the values|depends on the values.*\n(while|if)\b",
        "where a loop ends there, declare max_steps=..., the steps that it has at most; or run "
        "every step, and keep what must not change any more: "
        "new = torch.where(done, old, new), with `done` a tensor",
    ),
    (
        r"\n.*(\.item\(\)|\bfloat\(|\bint\(|\bbool\(|\.tolist\(\))",
        "keep the value a tensor, without .item(), float(), int() or .tolist(): tensors multiply, "
        "compare and index as numbers do",
    ),
    (r"numpy", "use torch's own operations in place of numpy's"),
    (
        r"depends on the values",
        "make the choice a tensor operation: torch.where, a mask, index_select",
    ),
    (
        r"no loop over its steps",
        "let every step do the same with the values of the step before it alone: carry what it "
        "needs of those further back (a sum, a maximum), and append an output in every step",
    ),
    (
        r"became a constant|Sizes of tensors must match|must match the size",
        "take sizes from the input where they are needed (x.shape[0], x.new_zeros(...), "
        "torch.zeros_like): no number that was noted before, no int() of a size",
    ),
    (
        r"cannot be multiplied|input\.size\(-1\)|Expected .*input|expected .*dim|channels",
        "make the declared shape, the layer's sizes and the order of the dimensions agree",
    ),
    (r"PackedSequence", "pack inside of forward, from a padded input and its lengths"),
    (
        r"takes .* positional argument|missing \d+ required",
        "declare one TensorSpec for each argument of forward, in order",
    ),
)


def find_remedy(reason: str, code: str) -> str:
    """What to do, from the reason and the line of the model's code (which may be empty)."""
    text = f"{reason}\n{code}"
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, text):
            return remedy
    _, colon, advice = reason.rpartition(": ")
    return advice if colon else "export(..., allow_frozen=True) takes a model for one length alone"
