"""The AWS stand-in as a process: moto's server with our KMS in front, on one port of this machine."""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import moto.sqs.models
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from devstack.files import write_private
from devstack.kms import RecipientKms
from devstack.root import DevelopmentRoot


class _Quiet(MotoRequestHandler):  # type: ignore[misc]  # moto has no types
    """Writes no line for each request: logs are for what went wrong."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - werkzeug's name
        """Only errors."""
        if type == "error":
            super().log(type, message, *args)


def main() -> int:
    """Serve until SIGTERM; `aws.json` in the development folder says where, once it does."""
    parser = argparse.ArgumentParser(prog="devstack.aws", description=__doc__)
    parser.add_argument("--dev", type=Path, required=True, help="the development folder")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options = parser.parse_args()
    # moto's own clock for message ages goes through a date and a string; with a thousand messages that is seconds.
    moto.sqs.models.unix_time = lambda _=None: time.time()
    moto.sqs.models.unix_time_millis = lambda _=None: time.time() * 1000
    root = DevelopmentRoot.ensure(options.dev).certificate
    application = RecipientKms(DomainDispatcherApplication(create_backend_app), root)
    server = make_server(options.host, options.port, application, threaded=True, request_handler=_Quiet)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    endpoint = f"http://{options.host}:{server.port}"
    write_private(options.dev / "aws.json", json.dumps({"endpoint": endpoint}).encode())
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
