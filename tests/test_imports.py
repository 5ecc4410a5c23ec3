"""Imports: without garbage collections meanwhile, and beside something that leaves the processor alone."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
from pathlib import Path

import pytest

from chatglm_magic import _imports
from chatglm_magic._imports import begin, in_peace


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Give a function that writes a package of two modules: itself and, imported in its middle, `middle`."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, before: str = "", after: str = "") -> str:
        folder = Path(tmp_path, name)
        folder.mkdir()
        (folder / "__init__.py").write_text(f"{before}\nfrom . import middle\n{after}\n")
        (folder / "middle.py").touch()
        names.append(name)
        return name

    names: list[str] = []
    yield write
    for name in names:
        sys.modules.pop(name, None)
        sys.modules.pop(f"{name}.middle", None)


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


def test_an_import_goes_on_in_a_thread_from_its_middle_on(written, monkeypatch):
    """`begin` is back when the other module is there; who imports the module then waits for its end."""
    gate = threading.Event()
    monkeypatch.setattr(_imports, "gate", gate, raising=False)
    name = written("begun_1", after="from chatglm_magic._imports import gate\ngate.wait(20)\nwhole = True")

    begin(name, until=f"{name}.middle")

    assert f"{name}.middle" in sys.modules
    assert not hasattr(sys.modules[name], "whole")
    threading.Timer(0.05, gate.set).start()
    assert importlib.import_module(name).whole


def test_an_import_that_never_meets_the_other_module_is_waited_for(written):
    """Another version of a library may have other parts."""
    name = written("begun_2", before="import time; time.sleep(0.05)", after="whole = True")

    begin(name, until="nothing_of_this_name")

    assert sys.modules[name].whole


def test_what_is_imported_already_is_left_alone(written, monkeypatch):
    """No thread is begun for it."""
    name = written("begun_3")
    module = importlib.import_module(name)
    monkeypatch.setattr(_imports, "Thread", None)

    begin(name, until="whatever")

    assert sys.modules[name] is module


def test_an_import_that_fails_says_so_where_it_is_needed(written):
    """In the thread nobody would see it."""
    name = written("begun_4", after="raise ImportError('no such machine')")

    begin(name, until="nothing_of_this_name")

    with pytest.raises(ImportError, match="no such machine"):
        importlib.import_module(name)


def test_where_there_are_no_threads_it_is_imported_later(written, monkeypatch):
    """As in a browser's Python."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    name = written("begun_5", after="whole = True")
    monkeypatch.setattr(threading.Thread, "start", refuse)

    begin(name, until=f"{name}.middle")

    assert name not in sys.modules
    assert importlib.import_module(name).whole


def test_garbage_is_collected_again_after_an_import_in_a_thread(written):
    """Both may be importing at once."""
    assert gc.isenabled()
    name = written("begun_6", after="import time; time.sleep(0.05); whole = True")

    begin(name, until=f"{name}.middle")
    with in_peace():
        pass
    until = time.monotonic() + 20
    while not (hasattr(sys.modules[name], "whole") and gc.isenabled()):
        assert time.monotonic() < until
        time.sleep(0.01)
