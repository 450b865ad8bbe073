"""The model: load it once, then call it with whole sequences, or step by step."""

import openvino
from openvino.frontend import FrontEndManager
from sequences import Sequences

TARGET = "openvino"


def versions():
    return {"openvino": openvino.__version__.split("-")[0]}


class Model(Sequences):
    """`model(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self, threads=1):
        super().__init__()
        core = openvino.Core()
        # OpenVINO computes in bfloat16 on CPUs that have it, unless it is asked not to.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        try:
            # Core.read_model tries every format, and each says on stderr that it is not its own.
            front = FrontEndManager().load_by_framework("onnx")
            network = front.convert(front.load(str(self.file)))
            self._compiled = core.compile_model(network, "CPU", settings)
        except Exception as error:  # its exceptions have no type in common
            raise ValueError(f"{self.file} is not ONNX that OpenVINO runs: {error}") from None
        if not self._compiled.inputs:
            raise ValueError(f"{self.file} is not ONNX that OpenVINO runs: it is empty")
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if precision != "f32":
            raise ValueError(f"OpenVINO computes in {precision} here, and f32 was asked for")
        declared = [port["name"] for port in self.about["inputs"]]
        self._used = [
            next((name for name in declared if name in port.names), port.get_any_name())
            for port in self._compiled.inputs
        ]
        self._names = [_name_of(port) for port in self._compiled.outputs]

    def run(self, inputs):
        results = self._compiled([inputs[name] for name in self._used])
        return {name: results[i].copy() for i, name in enumerate(self._names)}


def _name_of(port):
    """The graph's own name of an output: a port has the names of all tensors that are one."""
    name = port.get_node().get_friendly_name().split("/sink_port_")[0]
    return name if name in port.names else port.get_any_name()
