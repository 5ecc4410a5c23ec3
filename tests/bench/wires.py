"""Chat streams at catch-up speed: a plain socket server that sends ready-made bytes as fast as they are read.

One token is two Han characters. Each event is one HTTP chunk, as real services send them.

    python -m tests.bench.wires        serves until its standard input ends; prints the port

For each paced stream it prints when that began, on the clock that all processes share.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

PASSAGE = """注意力机制，一步一步地说：

## 定义

查询与每个键相乘，再按比例取出值；这就是**注意力**的核心。它让模型在生成每个词时，都能回看整段输入，
而不必把所有内容压缩成一个固定长度的向量，详见 [文档](https://example.org/attention)。

$$\\mathrm{softmax}\\left(\\frac{QK^T}{\\sqrt{d}}\\right)V$$

1. 先计算相似度，复杂度是 $O(n^2)$；
2. 再归一化，使权重之和为一；
3. 最后加权求和，得到新的表示。

| 名称 | 形状 | 含义 |
| --- | --- | --- |
| `Q` | n × d | 查询矩阵 |
| `K` | m × d | 键矩阵 |

```python
def attention(q, k, v):
    weights = softmax(q @ k.T / d ** 0.5)  # 每一行之和为一
    return weights @ v
```

多头注意力把它重复许多次，每一次关注不同的方面；然后把结果拼接起来，经过线性变换输出。这样做的好处是
并行度高，训练稳定，而且在长文本上表现良好。

"""
"""What a model writes: prose, a formula, a list, a table and code, about half of it Chinese."""
TOKENS = ("智谱", "模型", "流式", "输出", "笔记", "单元", "数据", "科学", "学生", "老师", "，接", "着。")
_BATCH_BYTES = 256 * 1024


def token(number: int) -> str:
    """Return the token at a place of the answer."""
    return TOKENS[number % len(TOKENS)]


def passage(tokens: int) -> str:
    """Return an answer in Markdown that is `tokens` long."""
    return (PASSAGE * (2 * tokens // len(PASSAGE) + 1))[: 2 * tokens]


def _passage_token(number: int) -> str:
    at = 2 * number % len(PASSAGE)
    return (PASSAGE + PASSAGE[:1])[at : at + 2]


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


def openai_events(tokens: int, say: Callable[[int], str] = token) -> Iterator[bytes]:
    """Yield delta chunks as Z.ai and BigModel send them."""
    frame = {
        "id": "20261101120000abcdef",
        "created": 1790000000,
        "object": "chat.completion.chunk",
        "model": "glm-4.7",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "\0"}}],
    }
    head, tail = (part.encode() for part in json.dumps(frame, separators=(",", ":")).split('"\\u0000"'))
    for number in range(tokens):
        yield b"".join((b"data: ", head, json.dumps(say(number), ensure_ascii=False).encode(), tail, b"\n\n"))
    frame["choices"] = [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}]
    frame["usage"] = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
    yield b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Web:
    """How a stream of chatglm.cn is written.

    Attributes:
        before: What precedes the JSON of an event.
        end: The line end.
        thinking: Which share of the tokens is thinking, in a part of its own before the text.
        tick: After how many frames the frame's time moves on; 0: never.
        ascii_only: Whether Chinese characters are written as escapes, and separators with blanks.
        delta: Whether a frame holds the new piece in place of all that came before.
    """

    before: bytes = b"event: message\ndata: "
    end: bytes = b"\n"
    thinking: float = 0
    tick: int = 0
    ascii_only: bool = False
    delta: bool = False

    def json(self, value: object) -> bytes:
        """Return a value as this stream writes it."""
        separators = (", ", ": ") if self.ascii_only else (",", ":")
        return json.dumps(value, ensure_ascii=self.ascii_only, separators=separators).encode()

    def frame(self, parts: list[tuple[str, str]], time: int = 0, *, finish: bool = False) -> tuple[bytes, bytes]:
        """Return what stands before and after the growing string of an event.

        Args:
            parts: Type and string of each part; the last one's string is NUL, for the place where it grows.
            time: Seconds since the first frame.
            finish: Whether this is the last frame.
        """
        status = "finish" if finish else "init"
        frame = {
            "id": "66f0c0ffee0000000000beef",
            "conversation_id": "66f0c0ffee0000000000c0de",
            "assistant_id": "65940acff94777010aa6b796",
            "parts": [
                {
                    "id": "66f0c0ffee0000000000beef",
                    "logic_id": f"L{number}",
                    "role": "assistant",
                    "content": [{"type": kind, kind: string}],
                    "model": "glm",
                    "meta_data": {},
                    "status": status if number == len(parts) else "finish",
                }
                for number, (kind, string) in enumerate(parts, 1)
            ],
            "created_at": f"2026-09-30 {8 + time // 3600:02}:{time // 60 % 60:02}:{time % 60:02}",
            "status": status,
            "last_error": {},
        }
        head, tail = self.json(frame).split(b"\\u0000")
        return self.before + head, tail + 2 * self.end

    def events(self, tokens: int, say: Callable[[int], str] = token) -> Iterator[bytes]:
        """Yield the events of an answer."""
        parts = [("think" if self.thinking else "text", "\0")]
        text, whole = bytearray(), ""
        head, tail = self.frame(parts)
        for number in range(tokens):
            time = number // self.tick if self.tick else 0
            if parts[-1][0] == "think" and number >= self.thinking * tokens:
                parts = [("think", whole), ("text", "\0")]
                text.clear()
                head, tail = self.frame(parts, time)
            elif self.tick and number % self.tick == 0:
                head, tail = self.frame(parts, time)
            if parts[-1][0] == "think":
                whole += say(number)
            if self.delta:
                text.clear()
            text += self.json(say(number))[1:-1]
            yield b"".join((head, text, tail))
        if self.delta:
            text = bytearray(self.json("".join(map(say, range(int(self.thinking * tokens), tokens))))[1:-1])
        head, tail = self.frame(parts, finish=True)
        yield b"".join((head, text, tail))


def long_line(tokens: int) -> Iterator[bytes]:
    """Yield one whole frame whose line is as long as `tokens` make it."""
    head, tail = Web().frame([("text", "\0")], finish=True)
    yield b"".join((head, "".join(map(token, range(tokens))).encode(), tail))


FRAMINGS: dict[str, tuple[bytes, bytes]] = {
    f"{name}-{blanks}-{ends}": ((event + end if event else b"") + b"data:" + b" " * blanks, end)
    for name, event in (("spaced", b"event: message"), ("tight", b"event:message"), ("none", b""))
    for blanks in range(3)
    for ends, end in (("lf", b"\n"), ("crlf", b"\r\n"))
}
"""What precedes an event's JSON, and its line ends: by event line, blanks behind `data:` and line end."""

_LIVELY = Web(thinking=0.1, tick=200)
"""An answer as a model gives it: it thinks, writes Markdown, and a second passes every 200 tokens."""

_WEBS = {
    "lively": _LIVELY,
    "ascii": replace(_LIVELY, ascii_only=True),
    "restless": replace(_LIVELY, tick=1),
    "delta": replace(_LIVELY, delta=True),
    **{name: replace(_LIVELY, before=before, end=end) for name, (before, end) in FRAMINGS.items()},
}
STREAMS: dict[str, Callable[[int], Iterator[bytes]]] = {
    "openai": openai_events,
    "long": long_line,
    "markdown": partial(openai_events, say=_passage_token),
    "web": Web().events,
    "webmarkdown": partial(Web().events, say=_passage_token),
    **{f"web-{name}": partial(web.events, say=_passage_token) for name, web in _WEBS.items()},
}


@cache
def _ready(kind: str, tokens: int) -> bytes | None:
    """Return the whole body where it is small enough to be kept."""
    if kind.startswith("web") and tokens > 5000:
        return None
    return b"".join(map(_chunk, STREAMS[kind](tokens))) + b"0\r\n\r\n"


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = connection.makefile("rb")
        first = request.readline().split()
        length = 0
        while (line := request.readline().strip()) != b"":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        request.read(length)
        kind, tokens, pause, *_ = first[1].decode().strip("/").split("/")
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        _send(connection, kind, int(tokens), float(pause) / 1000)


def _send(connection: socket.socket, kind: str, tokens: int, pause: float) -> None:
    if pause:
        due = time.monotonic()
        print(due, flush=True)
        for event in STREAMS[kind](tokens):
            connection.sendall(_chunk(event))
            due += pause
            time.sleep(max(0, due - time.monotonic()))
        connection.sendall(b"0\r\n\r\n")
        return
    body = _ready(kind, tokens)
    if body is not None:
        connection.sendall(body)
        return
    batch = bytearray()
    for event in STREAMS[kind](tokens):
        batch += _chunk(event)
        if len(batch) > _BATCH_BYTES:
            connection.sendall(batch)
            batch.clear()
    connection.sendall(bytes(batch) + b"0\r\n\r\n")


def main() -> None:
    """Serve until standard input ends."""
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
