"""Starts scripts in several processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MAX_SECONDS = 300  # far more than any script takes


def _environment(**variables):
    root = str(HERE.parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables


def torchrun(n_processes, *command, options=()):
    """Run a script of this folder with torchrun, and return the finished process."""
    options = ["--nproc-per-node", str(n_processes), "--standalone", *options]
    script, *arguments = map(str, command)
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *options, HERE / script, *arguments],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
    )


def run(script):
    """Run a script of this folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, HERE / script],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=MAX_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def start(n_processes, *command):
    """Run a script without a launcher that ends all processes if one fails.

    Returns
    -------
    list of (int, str)
        The exit status and the output of each process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script, *arguments = map(str, command)
    variables = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / script, *arguments],
            env=_environment(RANK=str(rank), **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(n_processes)
    ]
    try:
        outputs = [process.communicate(timeout=MAX_SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, outputs, strict=True)]
