"""A stand-in of S3 and SQS that costs nearly nothing, for measuring their callers: it takes chunks and forgets them.

moto does a service's work in Python and needs several times what its caller needs, so beside it a caller's own speed is
not seen. This takes the two calls that a large job is made of, PutObject of sealed questions and SendMessageBatch, and
answers them as the services do: an object that is there already is refused, a message is acknowledged by its MD5.
Everything else goes on to moto. Kept of a chunk: 16 bytes.
"""

import argparse
import asyncio
import hashlib
import json
import re
import signal
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devstack.files import write_private

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_EXPECT: Final = re.compile(rb"\r\nexpect: *100-continue", re.IGNORECASE)
_EXISTS: Final = b"<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>"


class Sink:
    """One process's share; `upstream` is moto's address."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = parts.hostname, parts.port
        self._taken: set[bytes] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if _EXPECT.search(head):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(await self._reply(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        if method == b"PUT" and b"/questions/" in target:
            return self._put(target, body)
        if b"AmazonSQS.SendMessageBatch" in head:
            return _send(body)
        return await self._forward(head, body)

    def _put(self, target: bytes, body: bytes) -> bytes:
        name = hashlib.blake2b(target, digest_size=16).digest()
        if name in self._taken:
            return _http(b"412 Precondition Failed", _EXISTS)
        self._taken.add(name)
        return _http(b"200 OK", b"", f'ETag: "{_md5(body)}"\r\n'.encode())

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            writer.write(_EXPECT.sub(b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + body)
            return await reader.read()
        finally:
            writer.close()


def _send(body: bytes) -> bytes:
    taken = [
        {"Id": one["Id"], "MessageId": one["Id"], "MD5OfMessageBody": _md5(one["MessageBody"].encode())}
        for one in json.loads(body)["Entries"]
    ]
    return _http(b"200 OK", json.dumps({"Successful": taken, "Failed": []}).encode())


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _http(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(body), body)


async def _run(upstream: str, place: Path) -> None:
    server = await asyncio.start_server(Sink(upstream).serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    write_private(place, json.dumps({"endpoint": f"http://127.0.0.1:{port}"}).encode())
    await server.wait_closed()


def main() -> None:
    """Serve until SIGTERM; the file `--place` says where, once it does."""
    parser = argparse.ArgumentParser(prog="devstack.sink", description=__doc__)
    parser.add_argument("--upstream", required=True, help="moto's address")
    parser.add_argument("--place", type=Path, required=True, help="the file that says where this serves")
    options = parser.parse_args()
    asyncio.run(_run(options.upstream, options.place))


if __name__ == "__main__":
    main()
