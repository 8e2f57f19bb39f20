"""Training of many fits on several threads. Fits of one shape form stacks of networks."""

import os
from collections import defaultdict, deque
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

from torchmlp.training.loop import Monitor
from torchmlp.training.stack import stack_bytes, stack_key, step_work, train_stack
from torchmlp.training.threads import n_threads, n_threads_for, one_thread

# Maximum number of multiply-adds in a step of one network. For larger networks, a stack is not
# faster than the networks one by one.
MAX_STEP_WORK = 1 << 21
# Minimum number of multiply-adds in a step of a stack. Two smaller stacks on two threads are slower
# than one stack, because each call hands Python's global lock to the other thread.
MIN_PART_WORK = 1 << 18
STACK_BYTES = 1 << 23  # size of the tensors that a step of a stack reads and writes
MAX_STACK = 1024
MIN_STACK = 4


class _Cancellation(Monitor):
    """Stops a fit that is trained alone when the training of all fits is canceled."""

    def __init__(self, is_canceled):
        self.is_canceled = is_canceled

    def on_block_end(self, inputs, state):
        return self.is_canceled()


def train_jobs(jobs, n_workers, canceled):
    """Train fits on several threads.

    Fits of one shape are trained as stacks of networks if that is faster, the others one by one.
    The threads share the stacks and the single fits.

    Parameters
    ----------
    jobs : list of Job
        Each receives a result or an error.
    n_workers : int
        Number of threads.
    canceled : threading.Event
        If it is set, training ends early. The jobs are then incomplete.
    """
    pending = deque(_units(jobs, n_workers))
    n_units, pool = len(pending), _pool(n_workers)
    arguments = pending, canceled.is_set, n_units == 1
    workers = [pool.submit(_work, *arguments) for _ in range(min(n_workers, n_units))]
    try:
        for worker in workers:
            worker.result()
    except BaseException:
        canceled.set()
        pending.clear()
        wait(workers)
        raise


def _work(pending, is_canceled, uses_all_threads):
    """Train the units of `_units` until none is left."""
    with one_thread():
        while pending:
            try:
                jobs = pending.popleft()
            except IndexError:
                return
            if len(jobs) > 1:
                jobs = train_stack(jobs, _n_places(jobs[0].inputs), is_canceled)
            for job in jobs:
                _train_alone(job, is_canceled, uses_all_threads)


@cache
def _pool(n_workers):
    """Return the threads that train. They are reused: see `torchmlp.training.inference._pool`."""
    return ThreadPoolExecutor(n_workers, thread_name_prefix="torchmlp-train")


if hasattr(os, "register_at_fork"):  # the threads do not exist in the child
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _units(jobs, n_workers):
    """Yield lists of jobs. Those of one list are trained as a stack, by one thread."""
    groups = defaultdict(list)
    for job in jobs:
        key = stack_key(job.inputs) if step_work(job.inputs) <= MAX_STEP_WORK else None
        groups[key or id(job)].append(job)
    for group in groups.values():
        if len(group) < MIN_STACK:
            yield from ([job] for job in group)
            continue
        work = len(group) * step_work(group[0].inputs)
        n_parts = min(n_workers, len(group) // MIN_STACK, max(1, work // MIN_PART_WORK))
        yield from (group[part::n_parts] for part in range(n_parts))


def _n_places(inputs):
    """Return the maximum number of networks in a stack."""
    return max(MIN_STACK, min(STACK_BYTES // stack_bytes(inputs), MAX_STACK))


def _train_alone(job, is_canceled, uses_all_threads):
    inputs = job.inputs
    number = n_threads_for(inputs.largest_product, inputs.layout.dtype) if uses_all_threads else 1
    with n_threads(number):
        job.train([_Cancellation(is_canceled)])
