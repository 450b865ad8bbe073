"""The model: load it once, then call it with whole sequences, or step by step."""

import os

# From 1.29 on, ONNX Runtime sends telemetry, unless it is asked not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from sequences import Sequences

TARGET = "python-onnxruntime"


def versions():
    return {"onnxruntime": onnxruntime.__version__}


class Model(Sequences):
    """`model(inputs)` gives the outputs; both are numpy arrays by name."""

    def __init__(self, threads=1):
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no type in common
            raise ValueError(f"{self.file} is not ONNX that onnxruntime runs: {error}") from None
        self._used = [port.name for port in self._session.get_inputs()]
        self._names = [port.name for port in self._session.get_outputs()]

    def run(self, inputs):
        used = {name: inputs[name] for name in self._used}
        return dict(zip(self._names, self._session.run(self._names, used)))
