"""A visitor with a real browser, where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from driver import CHROMIUM, Visitor, visitor
from panel_page import Pages, pages
from plain_page import plain_pages


def need_chromium() -> None:
    """Skip, or fail where the tests are to be complete, if there is no browser."""
    if CHROMIUM is None:
        reason = "The browser tests need Chromium: apt-get install chromium, or set CHROMIUM to where it is."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def lab() -> Iterator[Visitor]:
    """Give a Jupyter server and a browser to the tests of one module (no asyncio.run beside it)."""
    need_chromium()
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().endswith(("_API_KEY", "_PROXY")) or name.upper().startswith("CHATGLM_"):
                patch.delenv(name)
        patch.setenv("CHATGLM_STORE", "off")
        with visitor() as person:
            yield person


@pytest.fixture(scope="module")
def panels() -> Iterator[Pages]:
    """Give pages with a panel and no kernel to the tests of one module (`lab` has no place in the same one)."""
    need_chromium()
    with pages() as all_pages:
        yield all_pages


@pytest.fixture(scope="module")
def opens() -> Iterator[Any]:
    """Give a function that opens a page without a kernel and without a panel."""
    need_chromium()
    with plain_pages() as open_page:
        yield open_page
