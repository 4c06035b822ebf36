"""A real S3 server on loopback (moto's), and a proxy before it that counts requests, and lets one of them fail.

The server is a process of its own, as a child that is killed must not take it along.
"""

from __future__ import annotations

import http.client
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Credentials that no message may show.
KEY, SECRET = "AKIAEXAMPLEOFATEST", "a/secret+that-no-message-shows"
_SERVER = """
import sys, threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
_NUMBERS = itertools.count()


@contextmanager
def running() -> Iterator[int]:
    """A server; its port."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None and server.stdin is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(30)


class Proxy:
    """Hands requests on to a server.

    Attributes:
        seen: (method, path with query) of the requests so far.
        fault: is given the number of a request, from 0, its method and its path. It returns what to do with it:
            None (hand it on), "500", "503", "cut" (half of the answer), "drop" (no answer, and the server does not
            get it), or "lose" (no answer, though the server has done it); or it waits, or kills somebody.
    """

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, str]] = []
        self.fault: Callable[[int, str, str], str | None] = lambda number, method, path: None
        self._guard = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # the client was killed
                    self.close_connection = True

            def any(self) -> None:
                proxy._answer(self, port)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = any

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: Any, port: int) -> None:
        body = _body_of(handler)
        with self._guard:
            number = len(self.seen)
            self.seen.append((handler.command, handler.path))
        what = self.fault(number, handler.command, handler.path)
        if what in ("500", "503"):
            code = "InternalError" if what == "500" else "SlowDown"
            text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            _send(handler, int(what), [("Content-Type", "application/xml")], text)
            return
        if what == "drop":
            _hang_up(handler)
            return
        server = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in ("transfer-encoding", "expect")}
        headers["Content-Length"] = str(len(body))
        server.request(handler.command, handler.path, body, headers)
        answer = server.getresponse()
        data = answer.read()
        server.close()
        if what == "lose":
            _hang_up(handler)
            return
        _send(handler, answer.status, answer.getheaders(), data, cut=what == "cut")


def _body_of(handler: Any) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() == "chunked":
        pieces = []
        while size := int(handler.rfile.readline().split(b";")[0], 16):
            pieces.append(handler.rfile.read(size))
            handler.rfile.readline()
        while handler.rfile.readline().strip():
            pass
        return b"".join(pieces)
    return bytes(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)))


def _send(handler: Any, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False) -> None:
    handler.send_response_only(status)
    size = str(len(data))
    for name, value in headers:
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            size = value if handler.command == "HEAD" and name.lower() == "content-length" else size
            continue
        handler.send_header(name, value)
    handler.send_header("Content-Length", size)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data[: len(data) // 2] if cut else data)
    if cut:
        _hang_up(handler)


def _hang_up(handler: Any) -> None:
    handler.wfile.flush()
    handler.close_connection = True
    handler.connection.close()


def environment(url: str) -> dict[str, str]:
    """The variables with which a process finds the server."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def file_system(url: str) -> Any:
    """A client of its own, which is not counted if the URL is that of the server."""
    import s3fs

    return s3fs.S3FileSystem(
        key=KEY, secret=SECRET, endpoint_url=url, use_listings_cache=False, skip_instance_cache=True
    )


def new_bucket(port: int) -> str:
    """Make a bucket; its name."""
    name = f"bucket-{os.getpid()}-{next(_NUMBERS)}"
    file_system(f"http://127.0.0.1:{port}").mkdir(name)
    return name


def wait_until(what: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return when something is true; an AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not become true"
        time.sleep(0.01)
