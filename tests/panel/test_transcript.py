"""Tests of how the panel's scripts become the one module that anywidget loads."""

from __future__ import annotations

import re

from chatglm_magic.panel.transcript import _SCRIPTS, _STATIC, module

IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.js";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:const|function|class) (\w+)", re.MULTILINE)


def test_each_script_imports_only_what_a_script_before_it_exports():
    """Joined in their order, the scripts find each name that they use; no file is left out."""
    assert {f"{name}.js" for name in _SCRIPTS} == {path.name for path in _STATIC.glob("*.js")}
    exported: dict[str, set[str]] = {}
    for name in _SCRIPTS:
        text = (_STATIC / f"{name}.js").read_text(encoding="utf-8")
        imports = IMPORT.findall(text)
        assert len(imports) == len(re.findall(r"^import\b", text, re.MULTILINE)), name
        for names, script in imports:
            assert set(names.split(", ")) <= exported[script], (name, script)
        exported[name] = set(EXPORT.findall(text))


def test_the_module_links_to_nothing():
    """All that is left of the scripts' links is the default export that anywidget asks for."""
    assert re.findall(r"^(?:import|export)\b.*", module(), re.MULTILINE) == ["export default {"]
