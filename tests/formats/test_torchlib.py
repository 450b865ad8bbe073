"""PyTorch's ONNX functions say their domain without parsing themselves: the same one, and soon."""

import torch
from onnxscript import TracedOnnxFunction
from onnxscript._internal import ast_utils
from onnxscript.function_libs.torch_lib import ops, registration

from rnnbench.formats.onnx.torchlib import parsed_when_needed, read_once

FUNCTIONS = [
    function
    for functions in registration.default_registry.values()
    for function in (*functions.overloads, *functions.complex)
    if ops and isinstance(function, TracedOnnxFunction)
]


def test_each_says_the_same_domain_without_its_source(monkeypatch):
    assert len(FUNCTIONS) > 100
    whole = [function.function_ir.domain for function in FUNCTIONS]
    parsed = []
    real = ast_utils.get_src_and_ast
    monkeypatch.setattr(ast_utils, "get_src_and_ast", lambda f: (parsed.append(f), real(f))[1])
    with parsed_when_needed():
        assert [function.function_ir.domain for function in FUNCTIONS] == whole
        assert not parsed
        assert FUNCTIONS[0].function_ir.name
        assert len(parsed) == 1


def test_it_is_read_once_and_each_export_has_its_own():
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    whole = ONNXRegistry.from_torchlib(opset_version=18)
    with read_once():
        first = ONNXRegistry.from_torchlib(opset_version=18)
        first.register_op(torch.ops.aten.add.Tensor, lambda x: x)
        first.functions.pop("aten::mul.Tensor")
        second = ONNXRegistry.from_torchlib(opset_version=18)
        other = ONNXRegistry.from_torchlib(opset_version=20)
    assert second.opset_version == 18
    assert other.opset_version == 20
    assert {name: len(known) for name, known in second.functions.items()} == {
        name: len(known) for name, known in whole.functions.items()
    }
    for name, known in second.functions.items():
        assert [a.onnx_function for a in known] == [a.onnx_function for a in whole.functions[name]]


def test_afterwards_it_is_as_it_was():
    before = vars(TracedOnnxFunction)["function_ir"]
    with parsed_when_needed():
        assert vars(TracedOnnxFunction)["function_ir"] is not before
    assert vars(TracedOnnxFunction)["function_ir"] is before
