"""A POST out, chunks of bytes in, every failure one of ours. Nothing outside this folder knows aiohttp."""

from __future__ import annotations

from .call import Call, Refusal
from .exchange import Stream, get_json, open_stream
from .retries import with_retries

__all__ = ["Call", "Refusal", "Stream", "get_json", "open_stream", "with_retries"]
