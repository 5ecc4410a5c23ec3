"""Imports that take little of a first question's time, in a kernel that holds much already."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from threading import Thread

_LOOK = 0.004
"""Seconds between two looks at how far an import has come."""


@contextmanager
def in_peace() -> Generator[None]:
    """Let what is imported, or made for good, in a block come without garbage collections.

    Classes and functions are many objects, so Python collects garbage while they come; it finds none among
    them, but looks through all of the notebook's objects too. That takes as long as a third of the import.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def begin(name: str, until: str) -> None:
    """Begin to import a module in a thread of its own, and come back when it imports another one, or has ended.

    What it does after that other one must be something that leaves the processor to us. Whoever imports the
    module later waits for the rest, and is told there what went wrong.

    Args:
        name: The module.
        until: The other one.
    """
    if name in sys.modules:
        return
    thread = Thread(target=_import, args=(name,), name=f"import {name}", daemon=True)
    with suppress(RuntimeError):  # no thread can be started: it is imported where it is needed
        thread.start()
        while thread.is_alive() and until not in sys.modules:
            thread.join(_LOOK)


def _import(name: str) -> None:
    with in_peace(), suppress(Exception):
        importlib.import_module(name)
