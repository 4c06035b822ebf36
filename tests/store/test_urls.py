"""URLs of stores: what is one, what of it is shown, and which library it needs."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from callback_state._shown import show_as, shown
from callback_state._store.bucket import kinds, urls
from callback_state._store.bucket.kinds import Kind
from callback_state.exceptions import StoreError


@pytest.mark.parametrize(
    ("url", "directory", "name"),
    [
        ("s3://bucket/run", "s3://bucket/run", ""),
        ("s3://bucket/run/", "s3://bucket/run", ""),
        ("s3://bucket/run/001.keras", "s3://bucket/run", "001.keras"),
        ("gs://bucket/a.weights.h5.callbacks.pkl", "gs://bucket", "a.weights.h5.callbacks.pkl"),
        ("abfs://box@account.dfs.core.windows.net/run", "abfs://box@account.dfs.core.windows.net/run", ""),
    ],
)
def test_a_url_is_a_directory_or_a_file_in_it(url: str, directory: str, name: str) -> None:
    """The ending tells: that of a model file or of a state file."""
    assert urls.is_url(url) and urls.split(url) == (directory, name) and urls.public(url) == url


@pytest.mark.parametrize("url", ["s3://", "s3:///", "s3://m.keras", "zip::s3://bucket/run"])
def test_a_url_without_a_directory_is_refused(url: str) -> None:
    """Also one of several URLs in a row, which a store of objects is not."""
    with pytest.raises(StoreError, match="expected a directory in a store"):
        urls.split(url)


@pytest.mark.parametrize("path", ["ckpt", "/ckpt/m.keras", "C:\\ckpt", "C:/ckpt", "a:b", "://x", "ckpt/s3://x"])
def test_a_path_is_no_url(path: str) -> None:
    """Whatever has no scheme before ``://`` is a path of this machine."""
    assert not urls.is_url(path)


def test_secrets_of_a_url_are_not_shown() -> None:
    """Neither user and password nor the query."""
    url = "sftp://me:pass@host/run?token=abc&more=def"
    assert urls.public(url) == "sftp://host/run"
    assert {"pass", "abc", "def"} <= {*urls.secrets_in(url)}


@pytest.mark.parametrize("password", ["half/other", "half?other", "half/?other"])
def test_a_password_that_was_not_quoted_is_not_shown_either(password: str) -> None:
    """A library refuses such a URL, and quotes a part of it; a port and an @ in a path are no password."""
    url = f"ftp://user:{password}@host/run"
    assert urls.public(url) == "ftp://host/run"
    assert {"user", "half", "other"} <= {text.strip("?") for text in urls.secrets_in(url)}
    for plain in (
        "s3://bucket/a:b@c",
        "http://host:9000/a@b",
        "abfs://container@account/run",
        "http://[::1]:8/a@b",
    ):
        assert urls.public(plain) == plain and urls.secrets_in(plain) == []


def test_a_missing_library_is_told_with_the_line_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra of this package where there is one, else the libraries."""
    find = importlib.util.find_spec

    def without(name: str, package: Any = None) -> Any:
        return None if name in ("fsspec", "s3fs") else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(StoreError, match=r"s3://b: .*pip install 'callback_state\[s3\]'"):
        urls.check_library("s3://b")
    with pytest.raises(StoreError, match=r"pip install fsspec$"):
        urls.check_library("memory://b")


def test_a_near_copy_is_shown_as_its_url() -> None:
    """Wherever its directory stands in a text; longer names are not touched."""
    show_as("/cache/near/1-a/files", "s3://bucket/run")
    assert (
        shown("/cache/near/1-a/files/m.keras: and /cache/near/1-a/files")
        == "s3://bucket/run/m.keras: and s3://bucket/run"
    )
    assert shown("/cache/near/1-b/files") == "/cache/near/1-b/files"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.keras", Kind.MODEL),
        ("m.weights.h5", Kind.MODEL),
        ("m.keras.callbacks.pkl", Kind.STATE),
        (f".m.keras.state-{'0' * 32}", Kind.STAGED),
        (f"m.keras.callbacks.{'0' * 64}.arrays", Kind.ARRAYS),
        (f"m.keras.callbacks.{'0' * 64}.host", None),
        *(
            (name, None)
            for name in ("notes.txt", ".m.keras", "..", "../m.keras", "a\\m.keras", "a/m.keras", "m\0.keras")
        ),
        *(
            (name, None)
            for name in (".callback_state.lease", ".m.keras.tmp-host-1-00000000", "x.callbacks.pkl", "")
        ),
    ],
)
def test_only_files_of_checkpoints_are_looked_at(name: str, kind: Kind | None) -> None:
    """No name of an object becomes a path, unless it is the name of a file of a checkpoint."""
    found = kinds.file_of(name)
    assert (None if found is None else found.kind) == kind
