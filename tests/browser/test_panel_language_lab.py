"""The language of a panel in a real notebook."""

from __future__ import annotations

import pytest
from glm_server import FakeGLM
from panel_lab import SECONDS, load
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def test_a_chinese_reader_gets_a_chinese_panel_and_a_setting_changes_it_at_once(lab):
    """JupyterLab's page says "en" to a Chinese browser; the browser counts, until `%config` says otherwise."""
    cells = [f"%config ChatGLMMagics.language = {language!r}" for language in ("en", "zh")]
    with (
        FakeGLM() as glm,
        lab.opens(
            [f"{load(glm)}\nimport chatglm_magic; chatglm_magic.ChatPanel()", *cells], locale="zh-CN"
        ) as notebook,
    ):
        notebook.run(0)
        panel = notebook.page.locator(".cg-panel")
        expect(panel).to_have_attribute("lang", "zh-CN", timeout=SECONDS)
        assert notebook.js("() => document.documentElement.lang") == "en"
        panel.locator(".cg-ideas button").first.wait_for()
        panel.locator(".cg-area").fill("半个问题")
        for cell, language in ((1, "en"), (2, "zh-CN")):
            notebook.run(cell)
            expect(panel).to_have_attribute("lang", language, timeout=SECONDS)
            expect(panel.locator(".cg-area")).to_have_value("半个问题")
