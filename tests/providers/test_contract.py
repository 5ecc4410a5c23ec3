"""Every provider keeps every law of the contract."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from glm_server import FakeGLM
from local_kit import MARKS, TEXT, WORDS, provider
from providers.contract import CASES, LAWS, TESTED_APART, Case, Law, added, check_order, read
from tiny_glm import tiny_glm

from chatglm_magic._errors import StatusError
from chatglm_magic._messages import Message, Request
from chatglm_magic.providers import PROVIDERS, Provider, Settings, UnavailableProvider, make_provider
from chatglm_magic.providers.local import server


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_contract(case: Case, law: Law, glm: FakeGLM) -> None:
    """The provider keeps the law; the law's own docstring says which."""

    async def soon() -> None:
        await asyncio.wait_for(law(case, glm), 60)

    asyncio.run(soon())


def test_nobody_is_left_out() -> None:
    """Each entry of `PROVIDERS` has its case, or is named as one that asks no fake server."""
    assert {case.name for case in CASES} - {"function"} == PROVIDERS.keys() - TESTED_APART


@pytest.mark.parametrize("name", PROVIDERS)
def test_made_from_settings(name: str) -> None:
    """Each entry makes a `Provider` of that name, and making it asks nobody."""
    made = make_provider(name, Settings(base_url="http://127.0.0.1:9/v1" if name == "openai" else ""))

    assert isinstance(made, Provider)
    assert made.name == name


@pytest.mark.local
@pytest.mark.skipif(MARKS[-1].args[0], reason="the extra `local` is not installed")
def test_local_model(tmp_path: Path) -> None:
    """The embedded model keeps the laws that need no server: order, one end, several loops."""
    model = tmp_path / "plain.gguf"
    tiny_glm(model, WORDS)
    asked = provider(model)
    try:
        for _ in range(2):
            events, error = asyncio.run(read(asked, Request((Message("user", "hi"),))))

            check_order(events)
            assert (added(events).text, error) == (TEXT, None)
    finally:
        server.stop_all()


def test_unavailable() -> None:
    """A provider that cannot be asked raises its error anew for each question, with all that the error says."""
    error = StatusError("Not today.", kind="quota", provider="zai", reset_at="2026-12-01")
    asked = UnavailableProvider("zai", error, model="glm-5")

    raised = [asyncio.run(read(asked, Request((Message("user", "hi"),))))[1] for _ in range(2)]

    assert isinstance(asked, Provider)
    assert (asked.name, asked.model) == ("zai", "glm-5")
    for one in raised:
        assert type(one) is StatusError
        assert (str(one), vars(one)) == (str(error), vars(error))
    assert raised[0] is not raised[1]
