"""A process that maps over numbered rows and tells when it is done; the tests of the map kill it.

python mapping_child.py URL COUNT CONCURRENCY
"""

from __future__ import annotations

import os
import sys

from chatglm_magic import Chat


def main(url: str, count: str, concurrency: str) -> None:
    chat = Chat("openai", base_url=url, model="glm-4.7")
    job = chat.map("What of row {it}?", range(int(count)), concurrency=int(concurrency))
    os.write(1, b"begun\n")
    rows = job.result()
    wrong = [row.position for row in rows if row.value != f"answer to {row.position}"]
    os.write(1, f"done {len(wrong)}\n".encode())


main(*sys.argv[1:])
