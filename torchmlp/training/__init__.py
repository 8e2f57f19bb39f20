"""Training and inference with arrays and tensors. Nothing here imports the estimators.

A training step is a list of *calls*: functions without arguments that are bound, once per batch, to
the tensors that they read and write. "Bind ..." in a docstring means that a function returns such
calls and computes nothing itself.
"""
