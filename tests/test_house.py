"""How the house is built: its size, its rooms, its floors, its English. Each figure is a promise to the next reader."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from drawings import IMAGES, ROAD, ROOT, floors, road

import chatglm_magic

PACKAGE = Path(chatglm_magic.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def lines_of(path: Path) -> int:
    """Return how many lines a file has."""
    return path.read_text(encoding="utf-8").count("\n")


def name_of(path: Path) -> str:
    """Return a module's name inside the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(path: Path, tree: ast.AST) -> Iterator[str]:
    """Yield the modules of ours that a tree imports, type-only imports and those in functions too."""
    names = {name_of(other) for other in MODULES}
    parts = path.relative_to(PACKAGE).with_suffix("").parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            home = ".".join((*parts[: len(parts) - node.level + 1], *filter(None, [node.module])))
            for alias in node.names:
                inner = f"{home}.{alias.name}".lstrip(".")
                yield inner if inner in names else home


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function of the package with the name of its file."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield path.relative_to(PACKAGE).as_posix(), node


def test_a_file_is_one_noun():
    """A module is read from top to bottom at one sitting; one that is very short has its reason in its name."""
    rooms = {path: lines_of(path) for path in MODULES if path.name != "__init__.py"}

    assert {path.name for path, lines in rooms.items() if lines > 600} == set()
    assert len([path for path, lines in rooms.items() if lines < 60]) <= 6
    assert len([path for path in MODULES if path.parent.name != "providers"]) <= 161  # a provider is one file more


def test_functions_are_short():
    """A function fits on a screen; the few that do not hold the documentation of a contract."""
    long = [f"{file}:{node.name}" for file, node in functions() if (node.end_lineno or 0) - node.lineno >= 40]

    assert len(long) <= 4, long


def test_imports_stand_at_the_top():
    """A function imports a module of ours only to keep `%load_ext` instant or a heavy library out."""
    inner = {
        (path, node.lineno)
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.level
    }

    assert len(inner) <= 25, sorted(f"{path.name}:{line}" for path, line in inner)


def test_only_errors_and_replies_know_each_other():
    """No modules import each other in a circle, but for the types of errors and replies."""
    graph = {name_of(path): set(own_imports(path, tree)) - {name_of(path)} for path, tree in TREES.items()}
    graph["_errors"] -= {"_reply"}  # `ChatGLMError.reply`, in types only
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]

    assert graph == {}


def test_docstrings_are_plain_english():
    """They say what a function returns, raises or does, in the words of the standard library."""
    odd = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node) or ""
                if re.match(r"(Give|Tell|Let|Take note)\b", text) or re.search(r"\bAs there\b", text):
                    odd.append(f"{path.name}:{getattr(node, 'lineno', 1)}")

    assert odd == []


def test_the_map_leads_where_it_says():
    """Each hop of notebook 04's picture is a function or class of that file, and both pictures are current."""
    for _, file, function, _ in ROAD:
        names = {getattr(node, "name", "") for node in ast.walk(TREES[PACKAGE / file])}
        assert function in names, file

    assert len(ROAD) <= 10
    assert (IMAGES / "road.svg").read_text(encoding="utf-8") == road(), "run: python -m tests.helpers.drawings"
    assert (IMAGES / "floors.svg").read_text(encoding="utf-8") == floors(), "run: python -m tests.helpers.drawings"


def test_the_extra_for_clusters_brings_data_frames():
    """Who installs `dask` as the README says can map over a Dask DataFrame: plain Dask lacks pandas and pyarrow."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

    assert any(one.startswith("dask[dataframe]") for one in extras["dask"])
