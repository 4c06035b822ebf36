"""Checkpoints in an object store, a real S3 server on loopback: an upload, and what a save costs the training."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import fits

SIZE = 200 << 20
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def bucket() -> Iterator[str]:
    """A bucket of a server that runs meanwhile; its URL."""
    import s3fs

    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with (
        tempfile.TemporaryDirectory() as cache,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as server,
    ):
        assert server.stdin is not None and server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        os.environ.update(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_ENDPOINT_URL=url,
            AWS_DEFAULT_REGION="us-east-1",
            CALLBACK_STATE_CACHE=cache,
        )
        try:
            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")
            yield "s3://bucket/run"
        finally:
            server.stdin.close()


def put_times(rounds: int) -> tuple[float, float]:
    """Median seconds of an upload of 200 MB: (ours, with SHA-256; fsspec's plain ``put_file``)."""
    import s3fs

    from callback_state._store.bucket.objects import Bucket

    with bucket() as url, tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model")
        with open(path, "wb") as file:
            file.write(os.urandom(SIZE))
        ours, plain = Bucket(url), s3fs.S3FileSystem(skip_instance_cache=True)

        def put() -> float:
            start = time.perf_counter()
            ours.put_file("ours", path)
            return time.perf_counter() - start

        def put_plainly() -> float:
            start = time.perf_counter()
            plain.put_file(path, f"{url}/theirs")
            return time.perf_counter() - start

        found = [*fits.turns(rounds + 1, put, put_plainly)][1:]
    return statistics.median(t[0] for t in found), statistics.median(t[1] for t in found)


def stall_times(rounds: int) -> tuple[float, float]:
    """Median seconds that training stands still for a save beside it, of 200 MB: (to the store, to the disk).

    The server takes its part of the processor meanwhile, which one elsewhere would not.
    """
    import beside

    model = fits.dense(*beside.UNITS)
    fits.touch()
    stalls: list[list[float]] = [[], []]
    with bucket() as url:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as directory:
                stalls[1] += beside._fit(model, directory, ".keras", 3)[1]
            stalls[0] += beside._fit(model, url, ".keras", 3)[1]
    return statistics.median(stalls[0]), statistics.median(stalls[1])
