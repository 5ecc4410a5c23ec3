"""The child process: llama.cpp's own HTTP server on loopback, for as long as its parent lives.

Run as a script, so that nothing of the package is imported here. It reads one line of JSON from stdin,

    {"path": …, "name": …, "key": …, "context_tokens": …}

writes one line of JSON to stdout, `{"url": …}` or `{"error": …, "step": "find" | "import" | "load"}`, and serves until
stdin ends. llama.cpp's own log of a failure goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve one model until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt stops a reply, not the model
    _supply_libgomp()
    out = os.dup(1)
    os.dup2(2, 1)  # only our one line may reach the parent's pipe
    line = sys.stdin.buffer.readline()
    if not line:
        return
    _die_with_parent()
    try:
        server = _serve(json.loads(line))
    except (ImportError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "xllamacpp"
        step = "find" if missing else "import" if isinstance(error, ImportError) else "load"
        if step == "load":
            _wait_for_log()
        os.write(out, json.dumps({"error": str(error), "step": step}).encode() + b"\n")
        return
    os.write(out, json.dumps({"url": server.listening_address}).encode() + b"\n")
    os.close(out)
    while os.read(0, 4096):
        pass
    os._exit(0)  # there is nothing to save, and an orderly end would wait for the reply in progress


def _serve(order: dict[str, Any]) -> Any:  # noqa: ANN401 - xllamacpp is untyped
    """Return a running server with the model loaded; holds the GIL meanwhile."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["path"]
    params.model_alias = {order["name"]}
    params.api_keys = [order["key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = order["context_tokens"]
    params.n_parallel = 1  # a second slot would halve the context
    params.cache_ram_mib = 0  # else prompts of earlier conversations are kept, up to 8 GiB
    params.ui = False
    params.verbosity = 1
    # Threads spin while they wait for each other: beside one busy neighbour, as many threads as cores
    # fall from 160 tokens a second to 13–35.
    cores = _cores()
    params.cpuparams.n_threads = max(1, cores - 1)
    params.cpuparams_batch.n_threads = cores
    return xllamacpp.Server(params)


def _wait_for_log() -> None:
    """Wait until llama.cpp has logged the reason: its log is written by a thread, which the end of the process cuts."""
    size = 0
    for _ in range(40):
        time.sleep(0.05)
        before, size = size, os.fstat(2).st_size
        if 0 < before == size:
            return


def _cores() -> int:
    """Return how many cores we may use: those of the machine, the affinity mask, the container."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or "max"
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _die_with_parent() -> None:
    """End this process when stdin ends, even while loading holds the GIL.

    On Linux the kernel can send SIGIO, whose default is to end the process; elsewhere the end of stdin
    is noticed once the model is loaded.
    """
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


def _supply_libgomp() -> None:
    """Start over with cmeel-libomp's library where the system has none (a bare Debian).

    The loader reads LD_LIBRARY_PATH at the start of a process only, and goes by the file's name.
    """
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        earlier = os.environ.get("LD_LIBRARY_PATH", "")
        for entry in sys.path:
            folder = str(Path(entry, "cmeel.prefix", "lib"))
            if Path(folder, "libgomp.so.1").exists() and folder not in earlier.split(os.pathsep):
                path = os.pathsep.join(filter(None, (folder, earlier)))
                os.execve(sys.executable, sys.orig_argv, {**os.environ, "LD_LIBRARY_PATH": path})  # noqa: S606 - ourselves again


if __name__ == "__main__":
    main()
