"""What S3 has and fsspec does not show: checksums that the server compares, conditional writes, dead uploads.

The calls are those of the S3 interface, by way of s3fs, with its credentials, its settings and its retries.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Bytes: what is larger is written in parts of this size or larger, as S3 takes at most 10,000 parts.
PART = 1 << 23
_MOST_PARTS = 9000
#: How many parts are under way at a time. So much of a file is in memory.
AT_ONCE = 6

#: What S3 answers where a condition is not met, or another conditional write is under way.
_NOT_MET = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")


def is_s3(fs: Any) -> bool:
    """Whether a file system of fsspec is one of s3fs."""
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return "s3" in protocols and hasattr(fs, "call_s3")


def put(fs: Any, path: str, data: bytes | memoryview, **conditions: str) -> None:
    """Write an object in one request. The server compares its SHA-256."""
    bucket, key, _ = fs.split_path(path)
    fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, ChecksumSHA256=_checksum(data), **conditions)


def put_file(fs: Any, path: str, local: str) -> None:
    """Write a file as an object: in one request, or in parts. Nobody sees the object before it is complete."""
    size = os.path.getsize(local)
    if size <= PART:
        with open(local, "rb") as file:
            put(fs, path, file.read())
        return
    bucket, key, _ = fs.split_path(path)
    place = {"Bucket": bucket, "Key": key}
    made = fs.call_s3("create_multipart_upload", **place, ChecksumAlgorithm="SHA256")
    place["UploadId"] = made["UploadId"]
    try:
        with ThreadPoolExecutor(AT_ONCE, "callback_state upload") as pool:
            step = max(PART, -(-size // _MOST_PARTS))
            starts = range(0, size, step)

            def part(number: int) -> dict[str, Any]:
                data = _read(local, starts[number], min(step, size - starts[number]))
                checksum = _checksum(data)
                sent = fs.call_s3(
                    "upload_part", **place, PartNumber=number + 1, Body=data, ChecksumSHA256=checksum
                )
                return {"PartNumber": number + 1, "ETag": sent["ETag"], "ChecksumSHA256": checksum}

            parts = [*pool.map(part, range(len(starts)))]
        fs.call_s3("complete_multipart_upload", **place, MultipartUpload={"Parts": parts})
    except BaseException:
        with contextlib.suppress(Exception):  # the next start ends it; the first error is what is told
            fs.call_s3("abort_multipart_upload", **place)
        raise


def replace(fs: Any, path: str, data: bytes, version: str) -> bool:
    """Write an object only if it still has the ETag of this version; whether it was written."""
    return _put_if(fs, path, data, IfMatch=version.removeprefix("ETag="))


def create(fs: Any, path: str, data: bytes) -> bool:
    """Write an object only if there is none; whether it was written. Some stores like S3 do not heed this."""
    return _put_if(fs, path, data, IfNoneMatch="*")


def _put_if(fs: Any, path: str, data: bytes, **condition: str) -> bool:
    try:
        put(fs, path, data, **condition)
    except OSError as error:  # that of the S3 library is its cause
        answer = getattr(error.__cause__, "response", None) or {}
        if answer.get("Error", {}).get("Code") in _NOT_MET:
            return False
        raise
    return True


def abort_uploads(fs: Any, root: str, is_ours: Callable[[str], bool]) -> None:
    """End the uploads that a dead process has left under names of ours in this directory; never others."""
    bucket, prefix, _ = fs.split_path(f"{root}/")
    prefix = f"{prefix.rstrip('/')}/" if prefix else ""
    more: dict[str, Any] = {}
    while True:
        found = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **more)
        for upload in found.get("Uploads", ()):
            name = upload["Key"].removeprefix(prefix)
            if "/" not in name and is_ours(name):
                place = {"Bucket": bucket, "Key": upload["Key"], "UploadId": upload["UploadId"]}
                fs.call_s3("abort_multipart_upload", **place)
        if not found.get("IsTruncated"):
            return
        more = {"KeyMarker": found["NextKeyMarker"], "UploadIdMarker": found["NextUploadIdMarker"]}


def _checksum(data: bytes | memoryview) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _read(path: str, start: int, size: int) -> bytes:
    """A piece of a file; each thread opens it by itself, as Windows cannot read at a place otherwise."""
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise OSError(f"{path}: expected {size} bytes at {start}, found {len(data)}: it was cut meanwhile")
    return data
