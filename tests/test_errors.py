"""The error tree."""

from __future__ import annotations

import pytest

from chatglm_magic import _errors
from chatglm_magic._errors import ChatGLMError, ErrorKind, Interrupted, ProviderError, StatusError, status_error
from chatglm_magic._reply import Reply


def test_a_refusal_says_what_to_whom_and_what_next():
    """Each message has three parts, and the service's own words."""
    error = status_error(
        "rate_limit", provider="zai", model="glm-4.7", host="api.z.ai", status=429, code="1302", detail="太快了"
    )

    assert str(error) == (
        "Too many requests, or the model is too busy (glm-4.7 at api.z.ai; HTTP 429, code 1302): 太快了."
        " Wait a moment and run the cell again."
    )


@pytest.mark.parametrize("kind", sorted(_errors._WHAT))
def test_every_kind_of_refusal_has_words_a_class_and_a_remedy(kind: ErrorKind):
    """No refusal is left without advice."""
    error = status_error(kind, model="m", host="h")

    assert isinstance(error, StatusError)
    assert error.kind == kind
    assert _errors._REMEDY[kind] in str(error)


def test_long_bodies_are_shortened_in_messages_and_kept_in_detail():
    """A page of HTML does not fill the cell."""
    error = status_error("server", detail="x" * 5000)

    assert len(str(error)) < 500
    assert len(error.detail) == 5000


def test_a_failure_is_one_line_in_a_notebook(monkeypatch):
    """IPython is given one line, unless the user wants the traceback back."""
    error = ProviderError("gone")

    assert error._render_traceback_() == ["ProviderError: gone"]
    monkeypatch.setattr(ChatGLMError, "short", False)
    assert not hasattr(error, "_render_traceback_")  # IPython then makes its own


def test_an_interrupt_is_a_keyboard_interrupt_outside_the_tree():
    """`except Exception` does not eat it, and "Run All" stops."""
    error = Interrupted(Reply())

    assert isinstance(error, KeyboardInterrupt)
    assert not isinstance(error, Exception)
