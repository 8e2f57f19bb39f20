"""Starts scripts in several processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MAX_SECONDS = 1800  # enough for a machine that is ten times slower than a usual one


def _environment(**variables):
    root = str(HERE.parents[1])
    path = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables


def _popen(command, environment):
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def torchrun(n_processes, *command, options=()):
    """Run a script of this folder with torchrun. Return its exit status and its errors."""
    options = ["--nproc-per-node", str(n_processes), "--standalone", *options]
    script, *arguments = map(str, command)
    launcher = [sys.executable, "-m", "torch.distributed.run", *options, HERE / script, *arguments]
    with _popen(launcher, _environment()) as process:
        try:
            _, errors = process.communicate(timeout=MAX_SECONDS)
        finally:
            if process.poll() is None:
                process.terminate()  # torchrun then ends its workers, which have their own sessions
    return process.returncode, errors


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
    list of (int, str, str)
        The exit status, the output and the errors of each process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    script, *arguments = map(str, command)
    variables = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    program = [sys.executable, HERE / script, *arguments]
    processes = [
        _popen(program, _environment(RANK=str(rank), **variables)) for rank in range(n_processes)
    ]
    try:
        texts = [process.communicate(timeout=MAX_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *text) for process, text in zip(processes, texts, strict=True)]
