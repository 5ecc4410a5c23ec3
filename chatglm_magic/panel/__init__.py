"""ChatPanel: a chat that lives in the notebook."""
