"""A block of batches as one CUDA graph: captured once, launched as a whole."""

import threading

import torch

from torchmlp.training.device.transfer import borrow_stream, upload

_one_at_a_time = threading.Lock()  # torch captures one graph per process at a time


class CudaCapturer:
    """Captures what a function launches, as CUDA graphs.

    Parameters
    ----------
    device : torch.device
    generator : torch.Generator or None
        What the function draws from; every replay continues where the last one ended.
    """

    def __init__(self, device, generator):
        self.device, self.generator = device, generator
        self.stream = borrow_stream(device, self)
        # The graphs of a fit run one after the other and keep nothing in the pool: they share it.
        self.pool = torch.cuda.graph_pool_handle()

    def warm_up(self, body):
        """Run a function on the stream that will capture it, so that libraries initialise."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            body()
        current.wait_stream(self.stream)

    def capture(self, body):
        """Capture a function without executing it; return what replays it."""
        current = torch.cuda.current_stream(self.device)
        # The state that torch sets up for generators is used by other graphs too, maybe by a
        # user's outside of inference mode.
        with _one_at_a_time, torch.inference_mode(False):
            graph = torch.cuda.CUDAGraph()
            if self.generator is not None and torch.__version__ < "2.14":  # later automatic
                graph.register_generator_state(self.generator)
            with (
                torch.cuda.stream(current),  # torch does not restore it if the capture fails
                torch.cuda.graph(graph, self.pool, self.stream, "thread_local"),
                torch.inference_mode(),
            ):
                body()
        return graph.replay


CAPTURERS = {"cuda": CudaCapturer}  # by type of device; on others every step is launched anew


class FactorsInMemory:
    """A solver that reads the factors of its next steps from memory.

    Parameters
    ----------
    solver : Solver
    factors : tensor of shape (n_steps, n_factors)
    """

    def __init__(self, solver, factors):
        self.update, self._factors = solver.update, iter(factors)

    def factors(self, rate):
        """Return the factors of the next step."""
        return next(self._factors)


class BlockGraphs:
    """Trains on blocks by replaying graphs of their steps.

    The first time a block is trained on step by step, which also warms up the device. The second
    time the same launches are captured; from then on they are replayed on the same memory. So
    whatever changes from epoch to epoch is in memory: the rows of a block and the factors of its
    steps.

    Parameters
    ----------
    capturer : CudaCapturer
        Or another object with its two methods.
    pending_warnings : list of (str, type of Warning)
        Receives a warning if a capture fails; training continues step by step then.
    """

    def __init__(self, capturer, pending_warnings):
        self.capturer, self.pending_warnings = capturer, pending_warnings
        self.failed = False
        self._factors, self._replays = {}, {}

    def train(self, steps, block, solver, rate):
        """Train on a block.

        Parameters
        ----------
        steps : callable (block, solver, rate) -> None
            Makes a step for each batch.
        block : Block
        solver : Solver
        rate : float
            Learning rate.
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
        """Release the graphs while their stream is still ours.

        torch frees the workspaces of the stream with a graph, those of another owner included.
        """
        self._replays.clear()

    def _load_factors(self, block, solver, rate):
        flat = solver.weights.flat
        factors = [solver.factors(rate) for _ in block.batches]
        values = torch.tensor(factors, dtype=flat.dtype, device="cpu")
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
                f"The steps could not be captured as a CUDA graph ({reason}); each was launched "
                "by itself, which takes longer and gives the same result."
            )
            self.pending_warnings.append((message, UserWarning))
            body()
        else:
            self._replays[block]()


def graphs_for(device, generator, pending_warnings):
    """Return `BlockGraphs` for a device, or None where steps cannot be captured."""
    capturer = CAPTURERS.get(device.type)
    return None if capturer is None else BlockGraphs(capturer(device, generator), pending_warnings)
