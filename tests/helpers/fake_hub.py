"""A model hub on this machine: what huggingface_hub asks for, served from folders."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class Hub:
    """Models by name, each a commit and a folder."""

    url: str
    models: dict[str, tuple[str, Path]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub without models."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Bodies."""
            self._answer(body=True)

        def do_HEAD(self) -> None:
            """Headers alone."""
            self._answer(body=False)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def _answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append(path)
            status, headers, data = _look_up(hub, path)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(data))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _look_up(hub: Hub, path: str) -> tuple[int, dict[str, str], bytes]:
    for name, (commit, folder) in hub.models.items():
        if path == f"/api/models/{name}/tree/{commit}":
            found = [{"type": "file", "path": item.name, **_entry(item)} for item in sorted(folder.iterdir())]
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        if path.startswith(f"/{name}/resolve/{commit}/"):
            data = (folder / path.rpartition("/")[2]).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            return 200, {"ETag": f'"{digest}"', "X-Repo-Commit": commit, "Content-Type": "text/plain"}, data
        if path.startswith(f"/api/models/{name}/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
    return 404, {"X-Error-Code": "RepoNotFound"}, b""


def _entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"size": len(data), "oid": hashlib.sha1(data, usedforsecurity=False).hexdigest()}
