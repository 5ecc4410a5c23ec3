"""A prompt over a column: the same question to each of many rows, asked at once, each answer kept."""
