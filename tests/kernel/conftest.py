"""A kernel for the tests of this folder, and a shell in it that asks the loopback server."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest
from glm_server import FakeGLM
from kernel_driver import Kernel, prepare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.kernel)


class _Shared:
    """One kernel for all tests that leave it usable."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._kernel: Kernel | None = None

    def get(self) -> Kernel:
        if self._kernel is None:
            self._kernel = Kernel(self._factory.mktemp("kernel")).__enter__()
        return self._kernel

    def drop(self) -> None:
        if self._kernel is not None:
            self._kernel.__exit__()
            self._kernel = None


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[_Shared]:
    shared = _Shared(tmp_path_factory)
    yield shared
    shared.drop()


@pytest.fixture
def kernel(_shared: _Shared, glm: FakeGLM, request: pytest.FixtureRequest) -> Generator[Kernel]:
    """Give a kernel with the extension loaded, whose questions go to the loopback server."""
    kernel = _shared.get()
    prepare(kernel, glm)
    kernel.orphans.clear()
    yield kernel
    report = getattr(request.node, "failed", False)
    kernel.runs.clear()
    if report or not kernel.manager.is_alive():
        _shared.drop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    return report
