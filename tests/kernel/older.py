"""Older releases of ipykernel, beside the one of this environment: `PYTHONPATH` puts one before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VERSIONS = ("6.30.1", "7.1.0")
"""The last line of the old design, and the first with subshells; the environment's own is the newest."""


def folder_of(version: str, config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """Give a folder with that release, installed by pip; it is kept in pytest's cache.

    Only ipykernel and what it alone needs is put there: all else is this environment's.
    """
    cache = getattr(config, "cache", None)
    folder = (cache.mkdir("ipykernel") if cache is not None else factory.mktemp("ipykernel")) / version
    if not folder.exists():
        partial = folder.with_name(f"{version}-{os.getpid()}")
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--target", str(partial)]
        done = subprocess.run(
            [*command, f"ipykernel=={version}", "nest-asyncio>=1.4"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            shutil.rmtree(partial, ignore_errors=True)
            reason = f"pip cannot install ipykernel {version}: {' '.join(done.stderr.split())[-300:]}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        partial.rename(folder)
    return folder
