"""torch: parameters are changed in place, so a value that is held is a copy."""

from __future__ import annotations

from typing import Any

from ..randomness import layers_of
from ..torch_tensors import array_of, is_tensor
from .base import Backend


class Torch(Backend):
    """Keras on torch."""

    name = "torch"
    draws_first = True
    hears_steps = False
    keeps_held = False

    def doubts(self, model: Any) -> list[tuple[str, str]]:
        import torch

        found = []
        if torch.cuda.is_available() and not torch.are_deterministic_algorithms_enabled():
            what = "torch may add on a GPU in another order each time"
            cure = 'call torch.use_deterministic_algorithms(True), and set CUBLAS_WORKSPACE_CONFIG=":4096:8"'
            found.append((what, cure))
        # Keras knows the parameters of a module of torch inside a layer, and not its buffers.
        layers = [layer for layer in layers_of(model) if isinstance(layer, torch.nn.Module)]
        buffers = [*dict.fromkeys(name for layer in layers for name, _ in layer.named_buffers())]
        if buffers:
            more = ", ..." if len(buffers) > 3 else ""
            what = f"buffers of modules of torch are not saved: {', '.join(buffers[:3])}{more}"
            found.append((what, "use Keras's own layers, or keep them in a keras.Variable"))
        return found

    def view(self, value: Any) -> Any:
        import numpy

        value = self.inner(value)
        return array_of(value) if is_tensor(value) else numpy.asarray(value)
