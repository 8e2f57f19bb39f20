"""CUDA graphs: the steps of a block of batches are captured once, and then replayed."""

import threading

import numpy as np
import torch

from torchmlp.training.device.transfer import borrow_stream, upload

_one_at_a_time = threading.Lock()  # only one capture at a time per process


class CudaCapturer:
    """Captures the kernels that a function launches as a CUDA graph.

    Parameters
    ----------
    device : torch.device
    generators : list of torch.Generator
        Random number generators that the function uses. Each replay advances them.
    """

    def __init__(self, device, generators):
        self.device = device
        self.generators = generators
        self.stream = borrow_stream(device, self)
        # The graphs of a fit share a memory pool, because they run one after the other and do not
        # keep memory of the pool in use between replays.
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, body):
        """Run a function on the capture stream, so that libraries initialize before the capture."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            body()
        current.wait_stream(self.stream)

    def capture(self, body):
        """Capture a function without executing it. Return a function that replays it."""
        current = torch.cuda.current_stream(self.device)
        # torch creates a generator state that other graphs also use, possibly outside of inference
        # mode.
        with _one_at_a_time, torch.inference_mode(False):
            graph = torch.cuda.CUDAGraph()
            if torch.__version__ < "2.14":  # automatic from 2.14 on
                for generator in self.generators:
                    graph.register_generator_state(generator)
            with (
                torch.cuda.stream(current),  # torch does not restore it if the capture fails
                torch.cuda.graph(graph, self.pool, self.stream, "thread_local"),
                torch.inference_mode(),
            ):
                body()
        return graph.replay


CAPTURERS = {"cuda": CudaCapturer}  # keys are device types; others cannot capture


class FactorsInMemory:
    """A solver for captured steps, which reads the factors from device memory.

    Parameters
    ----------
    solver : Solver
    factors : tensor of shape (n_steps, n_factors) or (n_steps, n_factors, n_members)
    """

    def __init__(self, solver, factors):
        self.update = solver.update
        self._factors = iter(factors)

    def factors(self, rate):
        """Return the factors of the next step."""
        return next(self._factors)


class BlockGraphs:
    """Trains on blocks of batches by replaying CUDA graphs.

    In the first epoch, the steps of a block are run one by one, which also warms up the device. In
    the second epoch they are captured, and from then on they are replayed. A graph always reads the
    same memory. Therefore everything that changes between epochs, namely the rows of the block and
    the factors of the solver, is written to fixed buffers before the replay.

    Parameters
    ----------
    capturer : CudaCapturer
        Or another object with the methods `warm_up` and `capture`.
    pending_warnings : list of (str, type of Warning)
        Receives a warning if the capture fails. Training then continues without graphs.
    """

    def __init__(self, capturer, pending_warnings):
        self.capturer = capturer
        self.pending_warnings = pending_warnings
        self.failed = False
        self._factors = {}
        self._replays = {}

    def train(self, steps, block, solver, rate):
        """Train on a block.

        Parameters
        ----------
        steps : callable (block, solver, rate) -> None
            Makes a step for each batch.
        block : Block
        solver : Solver
        rate : float, or array of shape (n_members,)
            Learning rate. The kind must be the same in each call.
        """
        first = block not in self._factors
        factors = self._load_factors(block, solver, rate)

        def body():
            steps(block, FactorsInMemory(solver, factors), rate)

        if self.failed:
            body()
        elif block in self._replays:
            self._replays[block]()
        elif first:
            self.capturer.warm_up(body)
        else:
            self._capture(block, body)

    def close(self):
        """Delete the graphs before their stream is returned.

        When a graph is deleted, torch frees all workspaces of its stream, even if another fit uses
        that stream by then.
        """
        self._replays.clear()

    def _load_factors(self, block, solver, rate):
        flat = solver.weights.flat
        factors = [solver.factors(rate) for _ in block.batches]
        values = torch.from_numpy(np.array(factors)).to(flat.dtype)
        if block not in self._factors:
            self._factors[block] = torch.empty_like(values, device=flat.device)
        upload(values, self._factors[block])
        return self._factors[block]

    def _capture(self, block, body):
        try:
            self._replays[block] = self.capturer.capture(body)
        except RuntimeError as error:
            self.failed = True
            reason = str(error.__context__ or error).partition("\n")[0]
            message = (
                f"The training steps could not be captured as a CUDA graph ({reason}). They were "
                "run one by one, which is slower but gives the same result."
            )
            self.pending_warnings.append((message, UserWarning))
            body()
        else:
            self._replays[block]()


def graphs_for(inputs, solver, generators, pending_warnings):
    """Return `BlockGraphs` for the steps of a fit, or None if they cannot be captured.

    A graph repeats the same launches. Therefore nothing may be decided on the host between them,
    such as whether to skip a batch without any sample weight.

    Parameters
    ----------
    inputs : FitInputs
        For a stack of networks, those of any network.
    solver : Solver
    generators, pending_warnings
        See `CudaCapturer` and `BlockGraphs`.
    """
    device, parts = inputs.layout.device, [solver, inputs.settings.loss, *inputs.layout.activations]
    capturer = CAPTURERS.get(device.type)
    if capturer is None or inputs.data.sample_weight is not None:
        return None
    if not all(part.capturable for part in parts):
        return None
    return BlockGraphs(capturer(device, generators), pending_warnings)
