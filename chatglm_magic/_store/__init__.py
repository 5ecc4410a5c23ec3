"""Conversations and answers, kept in SQLite."""

from __future__ import annotations

from .location import configure, locate
from .records import AnswerRow, Batch, Hit, Thread, row_of
from .store import Store, close_stores, open_store

__all__ = [
    "AnswerRow",
    "Batch",
    "Hit",
    "Store",
    "Thread",
    "close_stores",
    "configure",
    "locate",
    "open_store",
    "row_of",
]
