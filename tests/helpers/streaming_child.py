"""A process that streams one long answer and tells what it has seen; the tests of the store kill it.

    python streaming_child.py URL COUNT NAME

Each event is told as one line on stdout, in one write: when it was seen, and how many characters there are now.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import aclosing

from chatglm_magic import Chat


async def main(url: str, count: str, name: str) -> None:
    chat = Chat("openai", base_url=url, model="glm-4.7", name=name)
    for number in range(int(count)):
        seen = 0
        async with aclosing(chat.stream(f"Question {number}?")) as events:
            os.write(1, f"begin {chat.id} 0\n".encode())
            async for event in events:
                seen += len(getattr(event, "text", ""))
                os.write(1, f"{time.monotonic()} {number} {seen}\n".encode())


asyncio.run(main(*sys.argv[1:]))
