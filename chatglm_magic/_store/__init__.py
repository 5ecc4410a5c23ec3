"""Conversations and answers, kept in SQLite."""

from __future__ import annotations

from .place import configure, place
from .store import Store, close_stores, open_store
from .values import Hit, Thread, row_of

__all__ = ["Hit", "Store", "Thread", "close_stores", "configure", "open_store", "place", "row_of"]
