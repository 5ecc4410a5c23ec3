"""Talk to GLM, a local model or any OpenAI-compatible server inside a notebook."""

from __future__ import annotations

__version__ = "0.1.0"
