"""JAX: values are immutable, and during an epoch they are not in the variables.

Within an epoch ``fit`` keeps the state in the model's ``_jax_state``, and the variables have no values until
``jax_state_sync`` (Keras 3.7 to 3.15). A step gives the memory of the state to the next one, but not while an
array of NumPy looks at it.
"""

from __future__ import annotations

import os
from typing import Any

from .. import hosts
from .base import Backend

#: Of XLA, for a GPU.
_FLAG = "--xla_gpu_deterministic_ops"


class Jax(Backend):
    """Keras on JAX."""

    name = "jax"
    needs_step = True

    def view(self, value: Any) -> Any:
        return hosts.whole(self.inner(value))

    def held(self, value: Any) -> Any:
        inner = self.inner(value)
        return inner if hosts.is_shared(inner) else self.view(value)

    def kept(self, value: Any) -> Any:
        # If an array of NumPy is assigned to a variable that several processes share, they compare all of it.
        inner = self.inner(value)
        return inner.copy() if hosts.is_shared(inner) else self.copy(value)

    def doubts(self, model: Any) -> list[tuple[str, str]]:
        import jax

        if jax.default_backend() != "gpu" or _FLAG in os.environ.get("XLA_FLAGS", ""):
            return []
        return [("XLA may add on a GPU in another order each time", f'set XLA_FLAGS="{_FLAG}=true"')]

    def reads_ahead(self) -> bool:
        import jax

        return bool(jax.default_backend() != "cpu")

    def sync(self, model: Any) -> None:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()

    def drop_step(self, model: Any) -> bool:
        # fit puts its state into the variables when it ends, and the failed step may have used that up.
        is_lost = getattr(model, "_jax_state_synced", True) is False
        if is_lost:
            model._jax_state, model._jax_state_synced = None, True
        return is_lost
