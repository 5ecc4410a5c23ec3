"""Write a tiny GLM model file whose reply is scripted: the true architecture, tokenizer type, template and stop tokens.

The network is a real `glm4` graph, but what its layers add is scaled down to a hundredth, and the output
matrix holds a chain: after each token, the one that follows it in the script. So the engine's own template,
thinking and stopping can be tested in half a second, without a download. It is a few hundred kilobytes and
the same bytes each time. What it answers does not depend on what it is asked.

    tiny_glm(path, ["Hello", " from", " a", " tiny", " GLM"], thinking=["Let", " me", " see"])
"""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

Word = str | bytes

WIDTH, HEADS, KV_HEADS, HEAD_WIDTH, HIDDEN = 128, 4, 2, 32, 128
ALIGNMENT = 32
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9  # GGUF's own numbers of value types
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's numbers of token types

CONTROL_TOKENS = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
THINK_TOKENS = ("<think>", "</think>")

PLAIN_TEMPLATE = (  # as GLM-4-0414 has it
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
THINKING_TEMPLATE = (  # as GLM-4.7 has it: thinking is opened in the prompt, unless it is switched off
    "[gMASK]<sop>{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|></think>"
    "{{ m.content.split('</think>')[-1] }}{% else %}<|{{ m.role }}|>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{{ '</think>' if enable_thinking is defined and not enable_thinking else '<think>' }}{% endif %}"
)


def tiny_glm(path: Path, answer: Sequence[Word], *, thinking: Sequence[Word] = (), endless: bool = False) -> Path:
    r"""Write the model.

    Args:
        path: Where.
        answer: Its words, each becoming one token; no word may come twice in answer and thinking together.
            Bytes are words too: `[b"\xe6", b"\x99", b"\xba"]` is a character that comes in three tokens.
        thinking: What it thinks before, unless `enable_thinking` is false; empty for a model that never thinks.
        endless: Start over instead of ending, for tests of stopping.
    """
    vocabulary = Vocabulary([*answer, *thinking])
    chain: dict[Word, Word] = {}
    start = "</think>" if thinking else "<|assistant|>"
    end = answer[0] if endless else "<|user|>"
    for script in ([start, *answer, end], ["<think>", *thinking, "</think>"] if thinking else []):
        for word, following in pairwise(script):
            assert word not in chain, f"{word!r} comes twice"
            chain[word] = following
    file = Gguf()
    _describe(file, vocabulary, THINKING_TEMPLATE if thinking else PLAIN_TEMPLATE)
    _weigh(file, len(vocabulary.tokens), {vocabulary.ids[a]: vocabulary.ids[b] for a, b in chain.items()})
    path.write_bytes(file.bytes())
    return path


class Vocabulary:
    """A byte-level BPE vocabulary: every byte, the script's words, GLM's special tokens."""

    def __init__(self, words: Iterable[Word]) -> None:
        # GPT-2's table: bytes that are no printable characters are written as characters from 256 on.
        printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
        others = [byte for byte in range(256) if byte not in printable]
        letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}
        self.tokens = [letters[byte] for byte in range(256)]
        self.types = [NORMAL] * 256
        self.ids: dict[Word, int] = {}
        for word in words:
            self._add(
                word, "".join(letters[byte] for byte in (word if isinstance(word, bytes) else word.encode())), NORMAL
            )
        for token in CONTROL_TOKENS:
            self._add(token, token, CONTROL)
        for token in THINK_TOKENS:
            self._add(token, token, USER_DEFINED)
        while len(self.tokens) % 32:
            self._add("", f"[PAD{len(self.tokens)}]", UNUSED)

    def _add(self, word: Word, token: str, kind: int) -> None:
        if token in self.tokens:
            self.ids[word] = self.tokens.index(token)
            return
        self.ids[word] = len(self.tokens)
        self.tokens.append(token)
        self.types.append(kind)


@dataclass
class Gguf:
    """A GGUF file, version 3: what describes the model, then its tensors."""

    values: list[bytes] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...], bytes]] = field(default_factory=list)

    def add(self, key: str, kind: int, value: object) -> None:
        self.values.append(_packed(STRING, key) + struct.pack("<I", kind) + _packed(kind, value))

    def add_array(self, key: str, kind: int, values: Sequence[object]) -> None:
        head = _packed(STRING, key) + struct.pack("<IIQ", ARRAY, kind, len(values))
        self.values.append(head + b"".join(_packed(kind, value) for value in values))

    def add_tensor(self, name: str, shape: tuple[int, ...], values: Sequence[float]) -> None:
        """Add a tensor of 16-bit floats, or 32-bit ones where it is a vector; the first dimension is contiguous."""
        assert len(values) == math.prod(shape)
        self.tensors.append((name, shape, struct.pack(f"<{len(values)}{'f' if len(shape) == 1 else 'e'}", *values)))

    def bytes(self) -> bytes:
        head = struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(self.values)) + b"".join(self.values)
        body = b""
        for name, shape, data in self.tensors:
            half = len(shape) > 1
            sizes = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, int(half), len(body))
            head += _packed(STRING, name) + sizes
            body += _aligned(data)
        return _aligned(head) + body


def _packed(kind: int, value: object) -> bytes:
    if kind == STRING:
        data = str(value).encode()
        return struct.pack("<Q", len(data)) + data
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f"}[kind], value)


def _aligned(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % ALIGNMENT)


def _describe(file: Gguf, vocabulary: Vocabulary, template: str) -> None:
    file.add("general.architecture", STRING, "glm4")
    file.add("general.name", STRING, "tiny scripted glm4")
    file.add("general.file_type", UINT32, 1)
    counts = {
        "block_count": 1,
        "context_length": 4096,
        "embedding_length": WIDTH,
        "feed_forward_length": HIDDEN,
        "vocab_size": len(vocabulary.tokens),
        "attention.head_count": HEADS,
        "attention.head_count_kv": KV_HEADS,
        "attention.key_length": HEAD_WIDTH,
        "attention.value_length": HEAD_WIDTH,
        "rope.dimension_count": HEAD_WIDTH // 2,
    }
    for key, count in counts.items():
        file.add(f"glm4.{key}", UINT32, count)
    file.add("glm4.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5)
    file.add("glm4.rope.freq_base", FLOAT32, 10000.0)
    file.add("tokenizer.ggml.model", STRING, "gpt2")
    file.add("tokenizer.ggml.pre", STRING, "glm4")
    file.add_array("tokenizer.ggml.tokens", STRING, vocabulary.tokens)
    file.add_array("tokenizer.ggml.token_type", INT32, vocabulary.types)
    file.add_array("tokenizer.ggml.merges", STRING, ["t h"])
    for role, token in {"eos": "<|endoftext|>", "eot": "<|user|>", "eom": "<|observation|>"}.items():
        file.add(f"tokenizer.ggml.{role}_token_id", UINT32, vocabulary.ids[token])
    file.add("tokenizer.chat_template", STRING, template)


def _weigh(file: Gguf, tokens: int, chain: dict[int, int]) -> None:
    dice = random.Random(7)

    def noise(count: int, scale: float) -> list[float]:
        return [dice.gauss(0, scale) for _ in range(count)]

    def matrix(name: str, inputs: int, outputs: int) -> None:
        file.add_tensor(f"blk.0.{name}.weight", (inputs, outputs), noise(inputs * outputs, 1 / math.sqrt(inputs)))

    def norm(name: str, scale: float) -> None:
        file.add_tensor(f"{name}.weight", (WIDTH,), [scale] * WIDTH)

    embedding = [noise(WIDTH, 1.0) for _ in range(tokens)]
    output = [noise(WIDTH, 0.01) for _ in range(tokens)]
    for token, following in chain.items():
        length = math.sqrt(sum(x * x for x in embedding[token]))
        output[following] = [y + 5 * x / length for x, y in zip(embedding[token], output[following], strict=True)]
    file.add_tensor("token_embd.weight", (WIDTH, tokens), [x for row in embedding for x in row])
    file.add_tensor("output.weight", (WIDTH, tokens), [x for row in output for x in row])
    norm("output_norm", 1.0)
    norm("blk.0.attn_norm", 1.0)
    matrix("attn_q", WIDTH, HEADS * HEAD_WIDTH)
    matrix("attn_k", WIDTH, KV_HEADS * HEAD_WIDTH)
    matrix("attn_v", WIDTH, KV_HEADS * HEAD_WIDTH)
    matrix("attn_output", HEADS * HEAD_WIDTH, WIDTH)
    norm("blk.0.post_attention_norm", 0.01)
    norm("blk.0.ffn_norm", 1.0)
    matrix("ffn_up", WIDTH, 2 * HIDDEN)
    matrix("ffn_down", HIDDEN, WIDTH)
    norm("blk.0.post_ffw_norm", 0.01)
