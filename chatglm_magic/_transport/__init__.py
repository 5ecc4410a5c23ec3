"""A POST out, chunks of bytes in, every failure one of ours. Nothing outside this folder knows aiohttp."""

from __future__ import annotations

from .call import Call, Refusal
from .connections import shared_connections
from .exchange import Stream, get_json, open_stream
from .retries import is_single_attempt, single_attempts, with_retries

__all__ = [
    "Call",
    "Refusal",
    "Stream",
    "get_json",
    "is_single_attempt",
    "open_stream",
    "shared_connections",
    "single_attempts",
    "with_retries",
]
