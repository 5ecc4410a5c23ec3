"""Messages of any content, for Hypothesis: what a store, or a file, must bring back as it was."""

from __future__ import annotations

from hypothesis import strategies as st

from chatglm_magic._conversation.message_node import MessageNode
from chatglm_magic._events import Part, Source, ToolCall, Usage
from chatglm_magic._messages import ImagePart, Message, TextPart

KINDS = ["code", "execution_output", "image", "search", "notice", "tool_call", "unknown"]


def nodes(texts: st.SearchStrategy[str]) -> st.SearchStrategy[MessageNode]:
    """Give messages without a parent, all of whose texts are of a kind."""
    numbers = st.floats(0, 1e10)
    parts = st.builds(
        Part,
        kind=st.sampled_from(KINDS),
        index=st.none() | st.integers(0, 9),
        urls=st.lists(texts, max_size=2).map(tuple),
        sources=st.lists(st.builds(Source, texts, texts, texts), max_size=2).map(tuple),
        raw=st.none() | st.dictionaries(texts, st.integers(0, 9) | texts, max_size=2),
        **dict.fromkeys(("content", "id", "name", "arguments", "call_id"), texts),
    )
    counts = st.integers(0, 9)
    data = st.sampled_from([b"\x89PNG\r\n", b"\xff\xd8\xff", b"\x00"])
    pictures = st.builds(ImagePart, data=data, media_type=st.just("image/png"), name=texts) | st.builds(
        ImagePart, url=texts, name=texts
    )
    exchanged = st.builds(
        Message,
        role=st.sampled_from(["assistant", "tool"]),
        content=texts | st.lists(st.builds(TextPart, texts), max_size=2).map(tuple),
        calls=st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple),
        **dict.fromkeys(("thinking", "call_id"), texts),
    )
    return st.builds(
        MessageNode,
        role=st.sampled_from(["user", "assistant"]),
        finish_reason=st.sampled_from([None, "stop", "length", "interrupted", "error"]),
        usage=st.none() | st.builds(Usage, counts, counts, counts, st.just({"x": [1, None]})),
        first_event=st.none() | numbers,
        parts=st.lists(parts, max_size=3).map(tuple),
        attachments=st.lists(pictures, max_size=2).map(tuple),
        exchange=st.lists(exchanged, max_size=2).map(tuple),
        warnings=st.lists(texts.filter(lambda text: not text.startswith("store-")), max_size=2).map(tuple),
        **dict.fromkeys(("created", "elapsed", "thinking_seconds"), numbers),
        **dict.fromkeys(("text", "thinking", "cell", "model", "provider", "error", "key"), texts),
    )
