"""Imports in a kernel that holds much already, without looking through all of it meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


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
