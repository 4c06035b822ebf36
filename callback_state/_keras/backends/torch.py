"""torch: parameters are changed in place, so a value that is held is a copy."""

from __future__ import annotations

from typing import Any

from ..torch_tensors import Buffer, array_of, buffers_of, is_tensor
from .base import Backend


class Torch(Backend):
    """Keras on torch."""

    name = "torch"
    draws_first = True
    hears_steps = False
    keeps_held = False

    def doubts(self, model: Any) -> list[tuple[str, str]]:
        import torch

        if torch.cuda.is_available() and not torch.are_deterministic_algorithms_enabled():
            what = "torch may add on a GPU in another order each time"
            cure = 'call torch.use_deterministic_algorithms(True), and set CUBLAS_WORKSPACE_CONFIG=":4096:8"'
            return [(what, cure)]
        return []

    def inner(self, value: Any) -> Any:
        return value.value if isinstance(value, Buffer) else super().inner(value)

    def has_buffers(self, cls: type) -> bool:
        import torch

        return issubclass(cls, torch.nn.Module)

    def buffers(self, module: Any) -> dict[str, Any]:
        return buffers_of(module)

    def view(self, value: Any) -> Any:
        import numpy

        value = self.inner(value)
        return array_of(value) if is_tensor(value) else numpy.asarray(value)
