"""A kernel that is killed in the middle of a map loses the rows in flight, and nothing that was answered."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from map_kit import RowServer

CHILD = Path(__file__).parents[1] / "helpers" / "mapping_child.py"
CONCURRENCY = 8
ROWS = 100_000


def mapping(url: str, path: Path, count: int) -> subprocess.Popen[bytes]:
    """Begin a process that maps over the rows into a store."""
    argv = [sys.executable, str(CHILD), url, str(count), str(CONCURRENCY)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, "CHATGLM_STORE": str(path)})


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.long)])
def test_a_killed_kernel_asks_twice_what_was_in_flight(glm, tmp_path, kills):
    """Kill -9 at random moments, and run it again: every row is answered, and each kill repeats few requests."""
    server = RowServer(glm, delay=0.01)
    path = tmp_path / "conversations.db"
    chance = random.Random(7)
    fewest = 0
    for _ in range(kills):
        with mapping(server.url, path, ROWS) as process:
            assert process.stdout.readline() == b"begun\n"
            asked = server.requests
            while server.requests == asked:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.4))
            os.kill(process.pid, signal.SIGKILL)
        glm.wait_until(lambda: server.open == 0)
        fewest = len(server.asked)
    repeated = server.requests - fewest

    with mapping(server.url, path, fewest) as process:
        assert process.stdout.read().endswith(b"done 0\n")
    assert fewest > 10 * kills
    assert repeated <= CONCURRENCY * kills
    assert server.requests - fewest <= CONCURRENCY * (kills + 1)
