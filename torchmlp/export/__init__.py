"""Conversion of fitted estimators. :func:`to_onnx` also converts pipelines."""

from torchmlp.export.onnx import to_onnx

__all__ = ["to_onnx"]
