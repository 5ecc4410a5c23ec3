"""Older releases of ipykernel, beside the one of this environment: `PYTHONPATH` puts one before it."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kernel_driver import Kernel

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


def version_of(kernel: Kernel) -> tuple[int, int]:
    """Give the release of ipykernel that a kernel is, such as (7, 1)."""
    return ast.literal_eval(kernel.value("__import__('ipykernel').version_info[:2]"))


def shell_for_clicks(kernel: Kernel, where: str) -> str | None:
    """Give the shell that a front end sends clicks to: a new subshell, as JupyterLab makes, or None for the main one.

    Skips the test where this kernel hears no click there while a cell awaits.
    """
    version = version_of(kernel)
    if where == "subshell":
        if version < (7, 0):
            pytest.skip("ipykernel 6 has no subshells.")
        return kernel.create_subshell()
    if (7, 0) <= version < (7, 4):
        pytest.skip("ipykernel 7.0 to 7.3 hears clicks on its subshells alone while a cell runs.")
    return None
