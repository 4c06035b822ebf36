"""URLs of object stores: which texts are URLs, what of them may be shown, and which libraries they need."""

from __future__ import annotations

import importlib.util
import os
import re

from ...exceptions import StoreError
from ..pair import MODEL_SUFFIXES, SUFFIX

_URL = re.compile(r"(?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]*://.*", re.ASCII | re.DOTALL)
#: What fsspec needs for the stores that have an extra of this package.
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), ("s3fs", "s3")),
    **dict.fromkeys(("gs", "gcs"), ("gcsfs", "gcs")),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), ("adlfs", "azure")),
}


def is_url(path: str) -> bool:
    """Whether a text is a URL, and no path of this machine."""
    return _URL.fullmatch(path) is not None


def public(url: str) -> str:
    """A URL without password and query, which may be secret; a path of this machine as it is."""
    if not is_url(url):
        return url
    scheme, _, _, rest = _parts(url)
    return f"{scheme}://{rest.partition('?')[0]}"


def secrets_in(url: str) -> list[str]:
    """The parts of a URL that must not be shown."""
    _, user, password, rest = _parts(url)
    query = rest.partition("?")[2]
    pieces = (*re.split("[/?]", password), *(p.partition("=")[2] for p in query.split("&")))
    return [text for text in (user, password, query, *pieces) if len(text) > 2]


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, user and password of a URL, and the rest; without a password the user belongs to the rest.

    A password may have a ``/`` or ``?`` that should have been written as ``%2F`` or ``%3F``.
    """
    scheme, _, rest = url.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    login = host.rpartition("@")[0]
    if not login and ":" in host and not host.rpartition(":")[2].isdigit():
        login = rest.rpartition("@")[0]
    user, colon, password = login.partition(":")
    return (scheme, user, password, rest[len(login) + 1 :]) if colon else (scheme, "", "", rest)


def split(url: str) -> tuple[str, str]:
    """The URL of the directory, and the name of the file in it: empty if the URL is that of a directory.

    Raises StoreError if the URL names no place in a store.
    """
    scheme, _, rest = url.partition("://")
    rest, mark, query = rest.partition("?")
    name = ""
    if rest.endswith((*MODEL_SUFFIXES, SUFFIX)):
        rest, _, name = rest.rpartition("/")
    rest = rest.rstrip("/")
    if not rest or "::" in url:
        raise StoreError(public(url), "expected a directory in a store, such as 's3://bucket/run', found none")
    return f"{scheme}://{rest}{mark}{query}", name


def check_library(url: str) -> None:
    """Raise StoreError, with the line to install, unless what the URL needs is installed."""
    scheme = url.partition("://")[0]
    library, extra = _EXTRAS.get(scheme, ("fsspec", ""))
    missing = [name for name in dict.fromkeys(("fsspec", "tenacity", library)) if not _is_there(name)]
    if missing:
        line = f"'callback_state[{extra}]'" if extra else " ".join(missing)
        raise StoreError(
            public(url), f"expected {', '.join(missing)} for {scheme}://. Install: pip install {line}"
        )
    import fsspec

    if scheme not in fsspec.available_protocols():
        raise StoreError(public(url), f"fsspec knows no {scheme}://. Use a local path, or a scheme that it knows")


def _is_there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def cache_directory() -> str:
    """Where downloads and near copies are kept: ``CALLBACK_STATE_CACHE``, else the user's directory for caches."""
    given = os.environ.get("CALLBACK_STATE_CACHE")
    if given:
        return os.path.realpath(given)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.realpath(os.path.join(base, "callback_state"))
