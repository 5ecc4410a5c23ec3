"""Z.ai, BigModel and every OpenAI-compatible server."""
