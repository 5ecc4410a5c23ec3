"""Markdown of a model: what is settled, what is safe to show."""
