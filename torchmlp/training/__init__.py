"""The engine: it knows arrays, tensors and settings, and never an estimator."""
