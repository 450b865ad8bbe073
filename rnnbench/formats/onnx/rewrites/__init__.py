"""ONNX -> ONNX: what engines need that cannot read the general file."""
