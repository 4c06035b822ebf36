"""Tensors of torch as arrays, and back, on whichever backend Keras runs; and the buffers of torch's modules."""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakKeyDictionary


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch, told without importing it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def array_of(tensor: Any) -> Any:
    """The values of a tensor or parameter, on a CPU without a copy."""
    import numpy

    tensor = tensor.detach().cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if name != "bfloat16" and not name.startswith("float8"):
        return numpy.asarray(tensor)
    import ml_dtypes  # NumPy itself has no such type
    import torch

    bits = torch.uint8 if tensor.itemsize == 1 else torch.int16
    return tensor.contiguous().view(bits).numpy().view(getattr(ml_dtypes, name))


def tensor_of(array: Any) -> Any:
    """A new tensor with these values."""
    import numpy
    import torch

    array = numpy.array(array)
    if array.dtype.isbuiltin == 1:
        return torch.from_numpy(array)
    bits = array.view(numpy.uint8 if array.itemsize == 1 else numpy.int16)
    return torch.from_numpy(bits).view(getattr(torch, array.dtype.name))


class Buffer:
    """A buffer of a module of torch, such as an average of batch normalization, as a variable.

    Keras makes variables of the parameters of a module, and knows nothing of its buffers.
    """

    def __init__(self, tensor: Any) -> None:
        self.value = tensor

    def assign(self, array: Any) -> None:
        """Give it the values of an array."""
        import torch

        with torch.no_grad():
            self.value.copy_(tensor_of(array))


#: The buffers of each module by their names: a variable is the same object each time.
_buffers: WeakKeyDictionary[Any, dict[str, Buffer]] = WeakKeyDictionary()


def buffers_of(module: Any) -> dict[str, Buffer]:
    """The buffers of a module itself that torch counts as its state, by their names."""
    known, left_out = _buffers.setdefault(module, {}), module._non_persistent_buffers_set
    for name, tensor in module.named_buffers(recurse=False):
        if name not in left_out and (name not in known or known[name].value is not tensor):
            known[name] = Buffer(tensor)
    return {name: known[name] for name, _ in module.named_buffers(recurse=False) if name not in left_out}
