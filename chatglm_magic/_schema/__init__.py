"""Answers as values: what a person asks for as JSON Schema, and a model's text read and checked by it; no I/O."""
