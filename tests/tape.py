"""An emulation of a GPU on the CPU: graphs of operations, and memory that the host cannot read."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from torchmlp.training import loaders
from torchmlp.training.device import transfer

# Operations that wait for the device, which is not possible while a graph is captured.
WAITS = torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default


class Tape(TorchDispatchMode):
    """Records operations, with references to their tensors and the values of other arguments.

    Recording executes them; `put_back` restores what they changed. A replay executes them again,
    in the same order and on the same memory, including that of their results.
    """

    def __init__(self):
        super().__init__()
        self.calls, self._before = [], {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITS:
            raise RuntimeError("operation not permitted when stream is capturing")
        kwargs = kwargs or {}
        self._remember(func, args, kwargs)
        results = func(*args, **kwargs)
        made = isinstance(results, torch.Tensor) and all(
            returned.alias_info is None for returned in func._schema.returns
        )
        self.calls.append((func, args, kwargs, results, made))
        return results

    def _remember(self, func, args, kwargs):
        """Keep a copy of what an operation is about to change."""
        for i, argument in enumerate(func._schema.arguments):
            value = args[i] if i < len(args) else kwargs.get(argument.name)
            if isinstance(value, torch.Generator) and value not in self._before:
                self._before[value] = value.get_state()
            elif argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in value if isinstance(value, list) else [value]:
                    memory = tensor.untyped_storage()
                    self._before.setdefault(memory.data_ptr(), (memory, memory.clone()))

    def put_back(self):
        for key, value in self._before.items():
            if isinstance(key, torch.Generator):
                key.set_state(value)
            else:
                memory, before = value
                memory.copy_(before)

    def replay(self):
        for func, args, kwargs, results, made in self.calls:
            again = func(*args, **kwargs)
            if made:
                results.copy_(again)


class TapeCapturer:
    """Replaces `CudaCapturer`, and counts its calls."""

    def __init__(self, device, generators):
        self.n_warm_ups = self.n_captures = self.n_replays = 0
        self.tapes = []

    def warm_up(self, body):
        self.n_warm_ups += 1
        body()

    def capture(self, body):
        self.n_captures += 1
        tape = Tape()
        self.tapes.append(weakref.ref(tape))
        try:
            with tape:
                body()
        finally:
            tape.put_back()

        def replay():
            self.n_replays += 1
            tape.replay()

        return replay


def treat_the_cpu_as_a_device(way, monkeypatch):
    """Make the host write to other memory than the products read; `way` is resident or streamed."""
    for module in (loaders, transfer):
        monkeypatch.setattr(module, "shares_memory", lambda device: False)
    free = 1 << 40 if way == "resident" else 0
    monkeypatch.setattr(transfer, "free_memory", lambda device: free)
