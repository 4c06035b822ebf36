"""A ``tf.data.Dataset`` of our own around another one: tf.data has no public way to derive a class."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class WrappedDataset(tf.data.Dataset):
    """Yields what another data set yields."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        super().__init__(inner._variant_tensor)

    def _inputs(self) -> list[Any]:
        return [self._inner]

    @property
    def element_spec(self) -> Any:
        return self._inner.element_spec
