"""Write the option table into README.md: `python -m tests.readme`. test_public_api checks that it is current."""

from __future__ import annotations

import re
from pathlib import Path

from chatglm_magic._magics.arguments import command_rows, option_rows

README = Path(__file__).parents[1] / "README.md"
_PLACE = re.compile(r"(<!-- options: [^>]*-->\n).*?(<!-- end of options -->)", re.DOTALL)


def _table(head: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {head} | |", "| --- | --- |"]
    lines += [f"| `{usage}` | {text} |" for usage, text in ((u.replace("|", r"\|"), t) for u, t in rows)]
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """Give the README with its tables as the parser has them now."""
    tables = f"{_table('option', option_rows())}\n{_table('line command', command_rows())}"
    return _PLACE.sub(lambda place: place[1] + tables + place[2], text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
