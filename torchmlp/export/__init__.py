"""A fitted estimator in other forms; :func:`to_onnx` converts pipelines too."""

from torchmlp.export.onnx import to_onnx

__all__ = ["to_onnx"]
