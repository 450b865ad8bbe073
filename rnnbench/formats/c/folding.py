"""What constants alone make is a constant of the file: it is computed at the export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from rnnbench.core.errors import one_line
from rnnbench.formats.c.values import C_TYPES, Value

if TYPE_CHECKING:
    from rnnbench.formats.c.writer import Writer

_BYTES = 1 << 20  # a constant that is larger than what it is made of, at most


def folded_call(
    writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]
) -> Value | None:
    """What a node gives of constants alone."""
    if not isinstance(node.target, torch._ops.OpOverload) or node.target._schema.is_mutable:
        return None
    leaves = torch.utils._pytree.tree_leaves((args, named))
    tensors = [v for v in leaves if isinstance(v, Value)]
    others = [v for v in leaves if not isinstance(v, Value)]
    if not tensors or any(v.constant is None for v in tensors):
        return None
    if any(isinstance(v, str) or hasattr(v, "free_symbols") for v in others):
        return None
    if not isinstance(node.meta.get("val"), torch.Tensor):
        return None

    def real(v: Any) -> Any:
        return v.constant if isinstance(v, Value) else v

    given, keywords = torch.utils._pytree.tree_map(real, (args, named))
    with torch.no_grad():
        try:
            made = node.target(*given, **keywords)
        except (RuntimeError, TypeError, ValueError) as error:
            raise writer.refusal(node, f"{node.target} ({one_line(error)})") from error
    made = made.resolve_conj().resolve_neg()
    of = sum(v.constant.nbytes for v in tensors if v.constant is not None)
    if made.nbytes > max(of, _BYTES) or made.dtype not in C_TYPES:
        return None
    return writer.constant(made.contiguous(), node.name)
