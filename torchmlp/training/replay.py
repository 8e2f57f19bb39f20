"""A block of batches as one graph of the device: recorded once, launched as a whole."""

import threading

import torch

from torchmlp.training.transfer import borrow_stream, upload

_one_at_a_time = threading.Lock()  # torch records one graph of a process at a time


class CudaRecorder:
    """Records what a function launches, as CUDA graphs.

    Parameters
    ----------
    device : torch.device
    generator : torch.Generator or None
        What the function draws from; every replay goes on where the last one ended.
    """

    def __init__(self, device, generator):
        self.device, self.generator = device, generator
        self.stream = borrow_stream(device, self)
        # The graphs of a fit run one after the other and keep nothing there: they may share.
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, body):
        """Run a function on the stream that will record it: libraries set up what it needs."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            body()
        current.wait_stream(self.stream)

    def record(self, body):
        """Record a function, which takes no effect by this; return what replays it."""
        current = torch.cuda.current_stream(self.device)
        # What torch sets up for generators is used by other graphs too, maybe by a user's outside
        # of inference mode.
        with _one_at_a_time, torch.inference_mode(False):
            graph = torch.cuda.CUDAGraph()
            if self.generator is not None and torch.__version__ < "2.14":  # where it is automatic
                graph.register_generator_state(self.generator)
            with (
                torch.cuda.stream(current),  # which torch does not go back to if recording fails
                torch.cuda.graph(graph, self.pool, self.stream, "thread_local"),
                torch.inference_mode(),
            ):
                body()
        return graph.replay


RECORDERS = {"cuda": CudaRecorder}  # by type of device; elsewhere every step is launched anew


class InMemory:
    """A solver that finds the factors of its next steps in memory.

    Parameters
    ----------
    solver : Solver
    factors : tensor of shape (n_steps, n_factors)
    """

    def __init__(self, solver, factors):
        self.update, self._factors = solver.update, iter(factors)

    def factors(self, rate):
        return next(self._factors)


class Replay:
    """Trains on blocks as the kernel does, but from the second time on by replaying.

    The first time a block is trained on step by step, which also warms up the device. The
    second time the same launches are recorded; from then on they are replayed, as they are: on
    the same memory, with the same numbers. So whatever changes lies in memory, the rows of a
    block and the factors of its steps.

    Parameters
    ----------
    recorder : CudaRecorder
        Or what else has its two methods.
    notes : list of (str, type of Warning)
        Is told if recording fails; training goes on step by step then.
    """

    def __init__(self, recorder, notes):
        self.recorder, self.notes = recorder, notes
        self.failed = False
        self._factors, self._replays = {}, {}

    def __call__(self, train, block, solver, rate):
        """Train on a block.

        Parameters
        ----------
        train : callable (block, solver, rate) -> None
            Makes a step for each batch.
        block : Block
        solver : Solver
        rate : float
            Learning rate.
        """
        first = block not in self._factors
        factors = self._load_factors(block, solver, rate)

        def body():
            train(block, InMemory(solver, factors), rate)

        if self.failed:
            body()
        elif block in self._replays:
            self._replays[block]()
        elif first:
            self.recorder.warm_up(body)
        else:
            self._record(block, body)

    def close(self):
        """Let go of the graphs while their stream is still ours.

        With a graph torch frees the workspaces of its stream, another's there included.
        """
        self._replays.clear()

    def _load_factors(self, block, solver, rate):
        weights = solver.weights
        values = torch.tensor([solver.factors(rate) for _ in block.batches], dtype=weights.dtype)
        if block not in self._factors:
            self._factors[block] = torch.empty_like(values, device=weights.device)
        upload(values, self._factors[block])
        return self._factors[block]

    def _record(self, block, body):
        try:
            self._replays[block] = self.recorder.record(body)
        except RuntimeError as error:
            self.failed = True
            reason = str(error.__context__ or error).partition("\n")[0]
            message = (
                f"The steps could not be recorded as a graph of the device ({reason}); each was "
                "launched anew, which takes longer and gives the same."
            )
            self.notes.append((message, UserWarning))
            body()
        else:
            self._replays[block]()


def replay_on(device, generator, notes):
    """Return a `Replay` for a device, or None where steps cannot be recorded."""
    recorder = RECORDERS.get(device.type)
    return None if recorder is None else Replay(recorder(device, generator), notes)
