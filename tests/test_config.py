"""Defaults and keys from the environment, and to which host a key may go."""

from __future__ import annotations

from chatglm_magic._config import Defaults, find_key


def test_the_environment_fills_what_is_left_open(monkeypatch):
    """What the user configured goes before the environment, field by field."""
    monkeypatch.setenv("CHATGLM_PROVIDER", "zai")
    monkeypatch.setenv("CHATGLM_MODEL", " glm-4.7 ")

    assert Defaults(model="mine").over(Defaults.from_environment()) == Defaults("zai", "mine", "")


def test_the_openai_key_goes_only_to_the_configured_host(monkeypatch):
    """A notebook's own `--base-url` never collects `CHATGLM_API_KEY`."""
    monkeypatch.setenv("CHATGLM_API_KEY", "sk-1")
    configured = Defaults(base_url="https://mine.invalid/v1")

    assert find_key("openai", "https://mine.invalid/other", configured) == "sk-1"
    assert find_key("openai", "https://mine.invalid:444/v1", configured) == ""
    assert find_key("openai", "http://mine.invalid/v1", configured) == ""
    assert find_key("openai", "https://evil.invalid/v1", configured) == ""
    assert find_key("openai", "https://evil.invalid/v1", Defaults()) == ""


def test_a_platform_key_goes_only_to_the_platform(monkeypatch):
    """A platform's key is not looked up for another host."""
    monkeypatch.setenv("ZAI_API_KEY", "id.secret")

    assert find_key("zai", "", Defaults()) == "id.secret"
    assert find_key("zai", "https://evil.invalid", Defaults()) == ""
    assert find_key("chatglm", "", Defaults()) == ""
