"""A model's weights and optimizer: copied, put back, known by a digest, and listed by name, shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .backend import backend, is_variable, value_of, values_of
from .fingerprint import fingerprint
from .reach import Reach


def variables_of(model: Any, reach: Reach | None = None) -> list[Any]:
    """The variables that a model file holds: the weights, then those of all optimizers of the model.

    ``reach`` is what can be reached from the model now, where that is known already.
    """
    optimizers = (reach or Reach(model)).optimizers.values()
    return [*model.weights, *(variable for optimizer in optimizers for variable in optimizer.variables)]


def digest_of(model: Any, reach: Reach | None = None, *, rate: Any = None) -> str:
    """The fingerprint of :func:`variables_of`, then the names of the optimizers' classes, joined by hyphens.

    The names of variables are left out: Keras numbers its layers by process, not by model. ``rate`` is put in the
    place of the learning rate.
    """
    variables = variables_of(model, reach)
    values = values_of(variables)  # one after the other: each may have to come from other processes
    if rate is not None:
        own = getattr(model.optimizer, "learning_rate", None)
        values = (rate if v is own else value for v, value in zip(variables, values, strict=True))
    return joined(fingerprint(values), optimizers_of(model))


def joined(values: str, optimizers: list[str]) -> str:
    """A digest as :func:`digest_of` makes it, of the fingerprint of the values and :func:`optimizers_of`."""
    return "-".join([values, *optimizers])


def rate_of(model: Any) -> Any:
    """A copy of the learning rate; None if it is in no variable, as that of a schedule."""
    rate = getattr(getattr(model, "optimizer", None), "learning_rate", None)
    return value_of(rate) if is_variable(rate) else None


def optimizers_of(model: Any) -> list[str]:
    """The names of the classes of the model's optimizer, and of the one inside it, with which a digest ends."""
    optimizer = getattr(model, "optimizer", None)
    inner = getattr(optimizer, "inner_optimizer", None)
    return [type(o).__name__ for o in (optimizer, inner) if o is not None]


def iterations_of(model: Any) -> int:
    """How many steps the optimizer has taken."""
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(value_of(optimizer.iterations))


def take_variables(model: Any) -> list[tuple[Any, Any]]:
    """(variable, copy of its value) for every variable that can be reached from a model."""
    return [(v, backend().kept(v)) for v in _reached(model)]


def hold_variables(model: Any) -> list[tuple[Any, Any]]:
    """The same for as long as variables are only given other values: where the backend allows, without a copy."""
    return [(v, backend().held(v)) for v in _reached(model)]


def _reached(model: Any) -> Iterable[Any]:
    reach = Reach(model)
    seen = {id(v): v for v in (*model.variables, *variables_of(model, reach), *reach.variables.values())}
    return seen.values()


def put_back_variables(taken: list[tuple[Any, Any]]) -> None:
    """Assign what :func:`take_variables` or :func:`hold_variables` took."""
    for variable, value in taken:
        variable.assign(value)


def places_of(model: Any) -> dict[int, tuple[str, int]]:
    """Where each variable stands: ("model" or "optimizer", 0-based index) by its ``id``."""
    places: dict[int, tuple[str, int]] = {}
    for group, owner in (("optimizer", getattr(model, "optimizer", None)), ("model", model)):
        for i, variable in enumerate(getattr(owner, "variables", ())):
            places[id(variable)] = (group, i)
            if is_variable(variable.value):  # the TensorFlow variable inside
                places[id(variable.value)] = (group, i)
    return places


def inventory(model: Any) -> list[str]:
    """One line per weight: ``"dense/kernel (6, 8) float32"``."""
    return [f"{_short(v)} {tuple(v.shape)} {v.dtype}" for v in model.weights]


def mismatches(model: Any, saved: list[str]) -> list[str]:
    """How the weights of a model differ from a saved inventory: at most five sentences, then "and N more".

    Without an inventory, or before the model is built, nothing is known: the list is empty.
    """
    if not saved or not model.built:
        return []
    found = inventory(model)
    different = [
        f"weight {i}: expected {was}, found {now}"
        for i, (was, now) in enumerate(zip(saved, found, strict=False))
        if _comparable(was) != _comparable(now)
    ]
    if len(saved) != len(found):
        longer, word = (saved, "missing") if len(saved) > len(found) else (found, "not in the checkpoint")
        more = longer[min(len(saved), len(found)) :]
        different.append(f"{len(more)} {word}: {', '.join(more[:3])}{'...' if len(more) > 3 else ''}")
    return [*different[:5], f"and {len(different) - 5} more"] if len(different) > 5 else different


def have_same_shapes(model: Any, saved: list[str]) -> bool:
    """Whether the weights of a model have the shapes and dtypes of a saved inventory, whatever their names are."""
    return [_shape(line) for line in inventory(model)] == [_shape(line) for line in saved]


def _shape(line: str) -> str:
    return line.partition(" ")[2]


def _comparable(line: str) -> str:
    name, shape = line.split(" ", 1)
    return _without_numbers(name) + " " + shape


def unnumbered(variable: Any) -> str:
    """The name of a variable as in every process: ``owner/variable``, where the owner is a layer or a metric."""
    return _without_numbers(_short(variable))


def _short(variable: Any) -> str:
    # The rest of the path depends on whether the model was built or loaded.
    return "/".join(variable.path.split("/")[-2:])


def _without_numbers(name: str) -> str:
    """A name without Keras's numbers, which count the layers and metrics of a kind in this process."""
    return re.sub(r"_\d+(?=/|$)", "", name)
