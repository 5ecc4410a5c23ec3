"""Keys out of all that is written."""

from __future__ import annotations

import os

from .._keys import kept_keys
from .._masks import Mask
from .._urls import seen_keys


def known_mask() -> Mask:
    """Make a mask of every key there is: of the environment, kept by `login`, used in this process."""
    environment = {value.strip() for name, value in os.environ.items() if name.upper().endswith("_API_KEY")}
    return Mask({*environment, *kept_keys(()), *seen_keys()})
