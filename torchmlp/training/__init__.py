"""Training and inference with arrays and tensors. Nothing here imports the estimators.

A training step is a list of *calls*. A call is a function without arguments, such as
``functools.partial(torch.addmm, intercepts, rows, coefs, out=z)``, which is bound to the tensors
that it reads and writes. The list is created once per batch, because the tensors of a batch stay
the same in all epochs and only their contents change. A step then runs
``for call in calls: call()``.

"Bind ..." in a docstring means that a function returns a list of calls and computes nothing itself.

A *stack* is a number of networks of one shape that are trained together. All tensors have a leading
dimension with one entry per network, and each call computes one operation for all of them. In
docstrings, ``*stack`` stands for this dimension: ``stack`` is ``(n_members,)`` for a stack, and
``()`` for a single network. The estimators train single networks.

After the calls, the solver updates the weights. `Solver.factors` and `Solver.update` are to be read
as one step, ``update(*factors(rate))``. They are separate because a CUDA graph contains only
`update`.

A first reading can skip `device`: it chooses the device, transfers the data to it, and replays the
steps of a block as CUDA graphs.
"""
