"""Conversations: messages, their versions, turns, and stored answers replayed."""
