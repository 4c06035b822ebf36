"""The small interface of an object store, over fsspec: a flat directory of objects, and a few verbs.

fsspec works in a thread of its own, with an event loop. A forked child does not have that thread, so a child must
not use an object that its parent has made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from ...exceptions import StoreError
from . import s3
from .urls import check_library, public, secrets_in

T = TypeVar("T")

#: Seconds: the first wait before an error is tried again, the longest wait, and all waits together.
FIRST_WAIT, LONGEST_WAIT, ALL_WAITS = 0.2, 10.0, 60.0
#: How often a call is tried.
TRIES = 6
#: What would come again at once.
_LASTING = (
    *(FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError),
    *(NotImplementedError, ValueError, TypeError, AttributeError, ImportError),
)
#: What tells two contents of one name apart: the first of these that a store gives.
_VERSIONS = (
    *(("generation",), ("ETag",), ("etag",), ("md5Hash",), ("ino", "mtime")),
    *(("created",), ("LastModified",), ("last_modified",), ("mtime",)),
)
#: The names of variables of the environment whose values are not shown.
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL|SAS|CONNECTION_STRING")


class Stamp(NamedTuple):
    """What a store says of an object."""

    size: int  # bytes
    version: str  # changes with the content; empty if it is not known


class Bucket:
    """The objects of one directory in a store.

    Each verb tries again what may pass, with growing waits. What stays is a StoreError. Neither it nor ``repr``
    shows a secret.
    """

    def __init__(self, url: str) -> None:
        check_library(url)
        import fsspec

        self.url = public(url)
        self._secrets = secrets_in(url)
        try:
            # Another user of fsspec in this process may cache listings. Here each one has to be new.
            self.fs, root = fsspec.core.url_to_fs(
                url, use_listings_cache=False, skip_instance_cache=True, **_options(url)
            )
        except Exception as error:
            raise StoreError(self.url, f"cannot be opened: {self._clean(error)}") from None
        self.root: str = root.rstrip("/")
        self.is_s3 = s3.is_s3(self.fs)

    def __repr__(self) -> str:
        return f"<Bucket {self.url}>"

    def path(self, name: str) -> str:
        """What fsspec calls an object."""
        return f"{self.root}/{name}"

    def list(self) -> dict[str, Stamp]:
        """All objects by their names, without those in directories below; empty where there is no directory."""

        def act() -> dict[str, Stamp]:
            self.fs.invalidate_cache()
            try:
                found = self.fs.ls(self.root, detail=True, **({"refresh": True} if self.is_s3 else {}))
            except FileNotFoundError:
                return {}
            files = [info for info in found if info["type"] == "file"]
            return {info["name"].rpartition("/")[2]: _stamp(info) for info in files}

        return self._try("list", "", act)

    def stat(self, name: str) -> Stamp | None:
        """What the store says of an object; None if there is none."""

        def act() -> Stamp | None:
            self.fs.invalidate_cache()
            try:
                return _stamp(self.fs.info(self.path(name), **({"refresh": True} if self.is_s3 else {})))
            except FileNotFoundError:
                return None

        return self._try("look at", name, act)

    def get(self, name: str) -> bytes:
        """The content of an object. Raises FileNotFoundError, StoreError."""
        return self._try("read", name, lambda: bytes(self.fs.cat_file(self.path(name))))

    def get_file(self, name: str, path: str, size: int | None = None) -> None:
        """Write an object into a file of this machine. Raises FileNotFoundError, StoreError.

        An answer that has not ``size`` bytes, nor those that the object has by now, was cut short.
        """

        def act() -> None:
            self.fs.get_file(self.path(name), path)
            found = os.path.getsize(path)
            if size is not None and found != size:
                now = self.stat(name)
                if now is not None and now.size != found:
                    raise ConnectionError(f"the store sent {found} bytes of {now.size}")

        self._try("read", name, act)

    def put(self, name: str, data: bytes) -> None:
        """Write an object, at once in the place of the old one."""
        if self.is_s3:
            self._try("write", name, lambda: s3.put(self.fs, self.path(name), data))
        else:
            self._try("write", name, lambda: self.fs.pipe_file(self.path(name), data))

    def put_file(self, name: str, path: str) -> None:
        """Write a file of this machine as an object, at once in the place of the old one."""
        if self.is_s3:
            self._try("write", name, lambda: s3.put_file(self.fs, self.path(name), path))
        else:
            self._try("write", name, lambda: self._put_file(name, path))

    def _put_file(self, name: str, path: str) -> None:
        self.fs.put_file(path, self.path(name))

    def copy(self, source: str, name: str) -> bool:
        """Copy an object within the store; whether the store could."""
        try:
            self._try("copy", source, lambda: self.fs.cp_file(self.path(source), self.path(name)))
        except StoreError:
            return False
        return True

    def delete(self, name: str) -> None:
        """Delete an object if it is there."""

        def act() -> None:
            try:
                self.fs.rm_file(self.path(name))
            except FileNotFoundError:  # also where an answer was lost, and this is the second try
                return

        self._try("delete", name, act)

    def create(self, name: str, data: bytes) -> bool | None:
        """Write an object only if there is none; whether it was written. None: the store cannot do that."""

        def act() -> bool | None:
            if self.is_s3:
                return s3.create(self.fs, self.path(name), data)
            try:
                self.fs.pipe_file(self.path(name), data, mode="create")
            except FileExistsError:
                return False
            except (NotImplementedError, TypeError, ValueError):
                return None
            return True

        return self._try("write", name, act)

    def replace(self, name: str, data: bytes, old: Stamp) -> bool:
        """Write an object only if it still is the old one, as far as the store can tell; whether it did."""

        def act() -> bool:
            if self.is_s3:
                return s3.replace(self.fs, self.path(name), data, old.version)
            if self.stat(name) != old:
                return False
            self.fs.pipe_file(self.path(name), data)
            return True

        return self._try("write", name, act)

    def abort_uploads(self, is_ours: Callable[[str], bool]) -> None:
        """End the uploads in parts of these names that nobody will complete, where the store keeps such ones."""
        if self.is_s3:
            self._try("look at", "", lambda: s3.abort_uploads(self.fs, self.root, is_ours))

    def _try(self, verb: str, name: str, act: Callable[[], T]) -> T:
        import tenacity

        again = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_after_delay(ALL_WAITS),
            wait=tenacity.wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, Exception) and not isinstance(e, _LASTING)),
            reraise=True,
        )
        try:
            return again(act)
        except StoreError:
            raise
        except Exception as error:
            if isinstance(error, FileNotFoundError) and verb == "read":
                raise FileNotFoundError(f"{self.url}/{name}: there is no such object") from None
            where = f"{self.url}/{name}" if name else self.url
            cure = " Make the bucket, or check the URL." if isinstance(error, FileNotFoundError) else ""
            refused = StoreError(where, f"the store does not let us {verb} it: {self._clean(error)}.{cure}")
            refused.lasts = isinstance(error, _LASTING)
            raise refused from None

    def _clean(self, error: Exception) -> str:
        """What an error says, without secrets: not those of the URL, nor of the environment, nor signed URLs."""
        text = f"{type(error).__name__}: {error}"
        hidden = [value for name, value in os.environ.items() if _SECRET.search(name.upper()) and len(value) > 5]
        for secret in (*self._secrets, *hidden):
            text = text.replace(secret, "***")
        text = re.sub(r"//[^/\s@:'\"]*:[^/\s@'\"]*@", "//***@", text)
        return re.sub(r"(://[^\s?'\"]*)\?[^\s'\"]*", r"\1?***", text)


def _options(url: str) -> dict[str, Any]:
    return {"auto_mkdir": True} if url.startswith(("file://", "local://")) else {}


def _stamp(info: dict[str, Any]) -> Stamp:
    keys = next((keys for keys in _VERSIONS if all(info.get(key) is not None for key in keys)), ())
    # A store may say a time in two ways.
    values = {key: info[key].timestamp() if isinstance(info[key], datetime) else info[key] for key in keys}
    return Stamp(int(info["size"]), "|".join(f"{key}={value}" for key, value in values.items()))
