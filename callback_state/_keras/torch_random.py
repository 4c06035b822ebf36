"""torch's random numbers: its default generator, and that of each CUDA device.

They matter on each backend: a ``DataLoader`` shuffles with the default one.
"""

from __future__ import annotations

import sys
from typing import Any


def is_loaded() -> bool:
    """Whether torch is imported in this process; half imported does not count."""
    return hasattr(sys.modules.get("torch"), "set_rng_state")


def take() -> dict[str, Any]:
    """The states as arrays of bytes; nothing where torch is not loaded."""
    if not is_loaded():
        return {}
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"torch": torch.get_rng_state().numpy().copy(), "torch_cuda": [state.numpy().copy() for state in cuda]}


def check(taken: dict[str, Any]) -> None:
    """Raise anything unless this may be what :func:`take` took."""
    states = [taken["torch"], *taken["torch_cuda"]] if "torch" in taken else []
    if any(state.dtype != "u1" or state.ndim != 1 for state in states):
        raise ValueError("torch: expected arrays of bytes")
    if states and is_loaded():
        import torch

        torch.Generator().set_state(torch.from_numpy(states[0].copy()))


def put_back(taken: dict[str, Any]) -> None:
    """Give the generators the states that were taken, of as many CUDA devices as there are here."""
    if "torch" not in taken or not is_loaded():
        return
    import torch

    torch.set_rng_state(torch.from_numpy(taken["torch"].copy()))
    for device, state in enumerate(taken["torch_cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(torch.from_numpy(state.copy()), device)


# The generators of a loader.


def generators_of(loader: Any) -> list[Any]:
    """The generators from which a ``DataLoader`` draws its order, each once; the default one is none of them."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    owners = (loader, getattr(loader, "sampler", None), batch_sampler, getattr(batch_sampler, "sampler", None))
    return [*{id(g): g for owner in owners if (g := getattr(owner, "generator", None)) is not None}.values()]


def take_states(generators: list[Any]) -> list[Any]:
    """The states of generators, as arrays of bytes."""
    return [generator.get_state().cpu().numpy().copy() for generator in generators]


def put_back_states(generators: list[Any], states: list[Any]) -> None:
    """Give generators the states that were taken."""
    for generator, state in zip(generators, states, strict=False):
        import torch

        generator.set_state(torch.from_numpy(state.copy()))
