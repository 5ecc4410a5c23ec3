"""Every kind of host that is asked for JSON, played by the loopback server, and what comes of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glm_server import FakeGLM

SHAPES = Path(__file__).parents[1] / "transcripts" / "shapes"
"""What real servers sent, each file with the request's body, status and type of the answer, and the answer."""

PEOPLE = '{"items": [{"name": "Ada", "age": 36}, {"name": "林", "age": 7}]}'
ROWS = [{"name": "Ada", "age": 36}, {"name": "林", "age": 7}]
WRONG = '{"items": [{"name": "Ada", "age": "old"}]}'


@dataclass(frozen=True)
class Person:
    """The item of the list that is asked for."""

    name: str
    age: int


@dataclass(frozen=True)
class Host:
    """One kind of host.

    Attributes:
        script: Tells the server what to answer.
        modes: How each request held it.
        rows: What comes of it; None where nothing fits.
        path: Where nothing fits, the path of the first error.
        says: What the error says.
        repairs: How often an answer went back.
        warnings: What the reply warns of.
        kind: Of the error.
    """

    script: Callable[[FakeGLM], None]
    modes: tuple[str, ...] = ("json_schema",)
    rows: list[dict[str, Any]] | None = None
    path: str = ""
    says: str = ""
    repairs: int = 0
    warnings: tuple[str, ...] = ()
    kind: str = "protocol"


def _says(*texts: str, **how: Any) -> Callable[[FakeGLM], None]:
    def script(glm: FakeGLM) -> None:
        for text in texts:
            glm.say(text, **how)

    return script


def _refuses(*refusals: str, status: int = 400) -> Callable[[FakeGLM], None]:
    def script(glm: FakeGLM) -> None:
        for message in refusals:
            glm.status_with_body(status, {"error": {"message": message, "type": "invalid_request_error"}})
        glm.say(PEOPLE)

    return script


_NO_SCHEMA = "response_format.type must be one of: text, json_object"
_NO_FORMAT = "Unrecognized request argument supplied: response_format"

HOSTS: Mapping[str, Host] = {
    "accepts the schema": Host(_says(PEOPLE), rows=ROWS),
    "refuses a schema": Host(_refuses(_NO_SCHEMA), modes=("json_schema", "json_object"), rows=ROWS),
    "refuses every form": Host(
        _refuses(_NO_SCHEMA, _NO_FORMAT), modes=("json_schema", "json_object", "prompt"), rows=ROWS
    ),
    "refuses unknown fields": Host(
        _refuses("unexpected keys in the request: chat_template_kwargs", status=422),
        modes=("json_schema", "json_schema"),
        rows=ROWS,
    ),
    "ignores the schema": Host(
        _says("Ada is 36, and 林 is 7."), modes=("json_schema",) * 3, path="$", says="holds no JSON", repairs=2
    ),
    "answers in its thinking": Host(_says("", thinking=PEOPLE), rows=ROWS, warnings=("value-from-thinking",)),
    "answers in a fence": Host(_says(f"```json\n{PEOPLE}\n```"), rows=ROWS),
    "goes on in prose": Host(_says(f"Sure! Here it is:\n{PEOPLE}\nI hope that helps {{you}}."), rows=ROWS),
    "leaves the wrapper out": Host(_says(PEOPLE[10:-1]), rows=ROWS),
    "is cut by length": Host(_says(PEOPLE[:40], finish="length"), path="[1]", says="cut off at its greatest length"),
    "is stopped by moderation": Host(
        _says(PEOPLE[:40], finish="content_filter"), says="Moderation stopped this", kind="content_filter"
    ),
    "is wrong twice": Host(_says(WRONG, PEOPLE[:40], PEOPLE), modes=("json_schema",) * 3, rows=ROWS, repairs=2),
    "is wrong for ever": Host(
        _says(WRONG),
        modes=("json_schema",) * 3,
        path="[0].age",
        says='should be a whole number, not text "old"',
        repairs=2,
    ),
}
"""By what they do; each is asked for a list of persons."""


@dataclass(frozen=True)
class Shape:
    """What a real server sent.

    Attributes:
        status: Of the answer.
        content_type: Of the answer.
        body: Of the answer.
    """

    status: int
    content_type: str
    body: bytes

    @classmethod
    def of(cls, name: str) -> Shape:
        """Read a file of `SHAPES`."""
        _, _, head, body = (SHAPES / f"{name}.txt").read_text("utf-8").split("\n", 3)
        words = head.removeprefix("# ANSWER HTTP ").rpartition(" in ")[0].split(" ", 1)
        return cls(int(words[0]), words[1], body.encode())

    def play(self, glm: FakeGLM) -> None:
        glm.replay(self.body, status=self.status, content_type=self.content_type)


def modes_of(glm: FakeGLM) -> tuple[str, ...]:
    """Return how each request held the server."""
    return tuple(one.json.get("response_format", {}).get("type", "prompt") for one in glm.requests)
