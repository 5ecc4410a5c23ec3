"""Imports without garbage collections meanwhile."""

from __future__ import annotations

import gc

import pytest

from chatglm_magic._imports import in_peace


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_left_alone_for_a_block_only(enabled):
    """Within the block nothing is collected; afterwards it is as it was, also where the block fails."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with in_peace():
            during = gc.isenabled()
        with pytest.raises(ImportError), in_peace():
            raise ImportError

        assert not during
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
