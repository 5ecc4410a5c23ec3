"""A visitor with a real browser, where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from driver import CHROMIUM, Visitor, visitor


@pytest.fixture(scope="module")
def lab() -> Iterator[Visitor]:
    """Give a Jupyter server and a browser to the tests of one module (no asyncio.run beside it)."""
    if CHROMIUM is None:
        reason = "The browser tests need Chromium: apt-get install chromium, or set CHROMIUM to where it is."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().endswith(("_API_KEY", "_PROXY")) or name.upper().startswith("CHATGLM_"):
                patch.delenv(name)
        patch.setenv("CHATGLM_STORE", "off")
        with visitor() as person:
            yield person
