"""A model file, written as a save at once writes it."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from callback_state._keras import model_file
from callback_state._keras.values import Values


def write(
    model: Any, path: str, *, weights_only: bool, meta: dict[str, Any], name: str | None = None
) -> tuple[bytes, int] | None:
    """Returns SHA-256 and size; None if Keras itself has written the file."""
    options: dict[str, Any] = {"weights_only": weights_only, "meta": meta}
    content = model_file.content_of(model, name or path, values=Values(), **options)
    if content is None:
        model_file.write_by_keras(model, path, name=name or path, **options)
        return None
    with closing(content):
        return content.write(path)
