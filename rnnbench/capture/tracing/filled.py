"""Lists of Python that are filled and read at places in tensors, which a trace does not know.

back = [0] * n                      back = [0] * n
for i in range(n):                  for i in range(n):
    back[order[i]] = i      ->          value = i; place = order[i]
                                        back = H.filled(back, place, value)
sentences[order[0]]         ->      H.taken(sentences, order[0])
"""

from __future__ import annotations

import ast
import copy
from typing import Any

import torch
from torch import Tensor

from rnnbench.capture.tracing.listed import Listed, is_number_of_a_trace
from rnnbench.capture.tracing.places import SCOPES
from rnnbench.capture.tracing.syntax import at, helper_call


def with_filled_lists(function: ast.FunctionDef) -> ast.FunctionDef | None:
    """A copy in which lists may be filled and read so; None where there is nothing of that kind.

    Args:
        function: as it is written.
    """
    changer = _Changer()
    changed: ast.FunctionDef = copy.deepcopy(function)
    changed.decorator_list = []
    changed.body = [changer.visit(statement) for statement in changed.body]
    return changed if changer.changed else None


class _Changer(ast.NodeTransformer):
    """Rewrites the subscripts of names.

    Attributes:
        changed: whether any was.
    """

    def __init__(self) -> None:
        self.changed = False

    def visit(self, node: ast.AST) -> Any:
        return node if isinstance(node, SCOPES) else super().visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        (target, *others) = node.targets
        if others or not isinstance(target, ast.Subscript) or not _at_a_place(target):
            return node
        self.changed = True
        assert isinstance(target.value, ast.Name)
        name = target.value.id
        call = helper_call("filled", ast.Name(name, ast.Load()), target.slice, node.value)
        return at(ast.Assign([ast.Name(name, ast.Store())], call), node)

    def visit_Subscript(self, node: ast.Subscript) -> Any:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or not _at_a_place(node):
            return node
        self.changed = True
        return at(helper_call("taken", node.value, node.slice), node)


class Rows(list[Tensor]):
    """A list of tensors that was filled so.

    Attributes:
        tensor: the same as one.
    """

    def __init__(self, tensor: Tensor) -> None:
        super().__init__(tensor.unbind())
        self.tensor = tensor


def filled(values: Any, place: Any, value: Any) -> Any:
    """`values[place] = value`, and the values."""
    listed = isinstance(values, list | Listed) and is_number_of_a_trace(place)
    if not listed:
        values[place] = value
        return values
    if not isinstance(value, Tensor):
        value = torch.full((), value, device=place.device)
    known = isinstance(values, Listed | Rows)
    before = values.tensor if known else _tensor_of(values, value)
    after = before.index_copy(0, place.reshape(1), value.to(before.dtype).unsqueeze(0))
    return Rows(after) if value.dim() else Listed(after)


def taken(values: Any, place: Any) -> Any:
    """`values[place]`."""
    if not isinstance(values, list | tuple) or not is_number_of_a_trace(place):
        return values[place]
    if all(isinstance(v, Tensor) for v in values):
        stacked = torch.stack(list(values))
    else:
        stacked = torch.tensor(values, device=place.device)
    return stacked.index_select(0, place.reshape(1)).squeeze(0)


def _tensor_of(values: list[Any], like: Tensor) -> Tensor:
    """What a list holds before it is filled: None, or numbers, of which one is written often."""
    if not values or values[0] is None:
        return like.new_zeros((len(values), *like.shape))
    if all(isinstance(v, int | float) and v == values[0] for v in values):
        return torch.full((len(values),), values[0], device=like.device)
    if all(isinstance(v, Tensor) for v in values):
        return torch.stack(values)
    return torch.tensor(values, device=like.device)


def _at_a_place(node: ast.Subscript) -> bool:
    """Whether it is `name[place]`, its place neither a slice nor a constant."""
    plain = isinstance(node.slice, ast.Name | ast.Subscript | ast.Call | ast.BinOp | ast.Attribute)
    return isinstance(node.value, ast.Name) and plain
