"""Tensors of torch as arrays, and back, on whichever backend Keras runs."""

from __future__ import annotations

import sys
from typing import Any


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch, told without importing it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def array_of(tensor: Any) -> Any:
    """The values of a tensor or parameter, on a CPU without a copy."""
    import numpy

    tensor = tensor.detach().cpu()
    if str(tensor.dtype) != "torch.bfloat16":
        return numpy.asarray(tensor)
    import ml_dtypes
    import torch

    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)  # NumPy itself has no such type


def tensor_of(array: Any) -> Any:
    """A new tensor with these values."""
    import torch

    return torch.from_numpy(array.copy())
