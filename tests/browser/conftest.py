"""A visitor with a real browser, where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from driver import CHROMIUM, Visitor, chromium, visitor
from panel_page import Pages, pages
from plain_page import plain_pages
from playwright.sync_api import Browser


def need_chromium() -> None:
    """Skip, or fail where the tests are to be complete, if there is no browser."""
    if CHROMIUM is None:
        reason = "The browser tests need Chromium: apt-get install chromium, or set CHROMIUM to where it is."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give the browser of all tests of this folder."""
    need_chromium()
    with chromium() as made:
        yield made


@pytest.fixture(scope="package")
def lab(browser: Browser) -> Iterator[Visitor]:
    """Give a visitor of a Jupyter server, the same to all tests of this folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().endswith(("_API_KEY", "_PROXY")) or name.upper().startswith("CHATGLM_"):
                patch.delenv(name)
        patch.setenv("CHATGLM_STORE", "off")
        with visitor(browser) as person:
            yield person


@pytest.fixture(scope="package")
def panels(browser: Browser) -> Iterator[Pages]:
    """Give pages with a panel and no kernel."""
    with pages(browser) as all_pages:
        yield all_pages


@pytest.fixture(scope="module")
def opens(browser: Browser) -> Iterator[Any]:
    """Give a function that opens a page without a kernel and without a panel."""
    with plain_pages(browser) as open_page:
        yield open_page
