"""How a path is shown: one in the near copy of an object store by the URL that stands for it.

A near copy (see :mod:`._store.bucket.near`) is a directory on this machine. Its name is unique, so it can be
replaced by the URL wherever it stands in a text.
"""

from __future__ import annotations

import os

#: The URL, without secrets, of each near copy, by the path of its directory.
_URLS: dict[str, str] = {}


def show_as(directory: str, url: str) -> None:
    """From now on show the URL where this directory, an absolute path, stands in a text."""
    _URLS[directory] = url


def shown(text: str) -> str:
    """A text for people, or a path for a user's program: with URLs in the place of near copies."""
    for directory, url in [*_URLS.items()]:  # another thread may add to it
        if directory in text:
            text = text.replace(directory + os.sep, f"{url}/").replace(directory, url)
    return text
