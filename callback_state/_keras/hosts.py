"""Several processes that train one model together (JAX): the only place that asks who and how many they are.

JAX needs it that every process calls the same in the same order. So does this module: whoever calls one of its
functions has to be sure that all processes come there. Each call is an exchange, with a number and a name that all
processes compare. If one of them is at another place, that is an error on all of them, and not a wrong value.

The rules of the package: the *first* process locks, recovers, writes and deletes; it decides by the clock and by
what is on the disk (:func:`first`). What may fail on one process alone is done by :func:`each`, or its error is
handed to :func:`agreed`. Then all processes go on with the same outcome, or raise the same error.

Where one process trains alone, nothing of this asks JAX, and no call costs anything.
"""

from __future__ import annotations

import itertools
import json
import sys
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from .. import exceptions
from ..exceptions import CallbackStateError, HostError

T = TypeVar("T")
#: Bytes of the first message of an exchange: number, name and length, then the data if there is room.
_HEAD, _FIELDS = 256, 12
#: The number of the next exchange.
_numbers = itertools.count(1)


def count() -> int:
    """How many processes train together. Those that have no ``keras.distribution`` in common train alone."""
    jax = sys.modules.get("jax")
    if jax is None or not jax.distributed.is_initialized():
        return 1
    import keras

    if keras.backend.backend() != "jax" or keras.distribution.distribution() is None:
        return 1
    return int(jax.process_count())


def index() -> int:
    """The 0-based number of this process."""
    return 0 if count() == 1 else int(sys.modules["jax"].process_index())


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return index() == 0


# Exchanges.


def gather(data: bytes, name: str) -> list[bytes]:
    """What each process gives, by its number. ``name`` is that of the exchange, for errors."""
    if count() == 1:
        return [data]
    fields = (next(_numbers), zlib.crc32(name.encode()), len(data))
    start = b"".join(field.to_bytes(4, "little") for field in fields) + data[: _HEAD - _FIELDS]
    heads = _gather_bytes(start, _HEAD)
    if len({head[: _FIELDS - 4] for head in heads}) > 1:
        raise HostError(
            f"the processes of this training are not at the same place: this one is at {name!r}. Let every "
            f"process run the same script: each calls restore_callbacks and fit, with the same arguments"
        )
    lengths = [int.from_bytes(head[_FIELDS - 4 : _FIELDS], "little") for head in heads]
    if max(lengths) <= _HEAD - _FIELDS:
        rows = [head[_FIELDS:] for head in heads]
    else:
        rows = _gather_bytes(data, 1 << (max(lengths) - 1).bit_length())  # few sizes: JAX compiles for each
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def _gather_bytes(data: bytes, size: int) -> list[bytes]:
    import numpy
    from jax.experimental import multihost_utils

    row = numpy.zeros(size, "u1")
    row[: len(data)] = numpy.frombuffer(data, "u1")
    return [bytes(found) for found in numpy.asarray(multihost_utils.process_allgather(row)).astype("u1")]


def first(act: Callable[[], Any], name: str) -> Any:
    """What ``act`` returns on the first process, where alone it is called: None, a text, a number, a list.

    An error of the first is an error of all.
    """
    if count() == 1:
        return act()
    result, error = None, None
    if is_first():
        try:
            result = act()
        except Exception as raised:  # told to all
            error = raised
    told = gather(json.dumps([_described(error), result]).encode() if is_first() else b"", name)[0]
    problem, result = json.loads(told)
    if problem is not None:
        raise error if error is not None else _remade(problem, 0)
    return result


def each(act: Callable[[], T], name: str) -> T:
    """What ``act`` returns here, if it has failed on no process. It must not exchange anything itself."""
    if count() == 1:
        return act()
    error = None
    try:
        result = act()
    except Exception as raised:  # told to all
        error = raised
    problem = agreed(error, name)
    if problem is not None:
        raise problem from (error if problem is not error else None)
    return result


def agreed(error: Exception | None, name: str) -> Exception | None:
    """The error of the first process that has one; None if nobody has. On other processes it is made again."""
    if count() == 1:
        return error
    told = gather(b"" if error is None else json.dumps(_described(error)).encode(), name)
    for number, problem in enumerate(told):
        if problem:
            return error if number == index() else _remade(json.loads(problem), number)
    return None


def all_agree(said: bool, name: str) -> bool:
    """Whether every process says so."""
    return said if count() == 1 else all(told == b"y" for told in gather(b"y" if said else b"n", name))


def _described(error: Exception | None) -> dict[str, Any] | None:
    if error is None:
        return None
    found: dict[str, Any] = {"class": type(error).__name__, "text": str(error)}
    for field in ("path", "message", "errno", "strerror"):
        value = getattr(error, field, None)
        if isinstance(value, (str, int)):
            found[field] = value
    return found


def _remade(problem: dict[str, Any], number: int) -> Exception:
    """The error that another process has raised, so that a script catches it on all of them."""
    cls: Any = getattr(exceptions, problem["class"], None)
    if isinstance(cls, type) and issubclass(cls, CallbackStateError):
        said = [problem["path"], problem["message"]] if "path" in problem else [problem["text"]]
        made: Exception = cls(*said[:-1], f"{said[-1]} (on process {number})")
        return made
    if "errno" in problem:
        return OSError(problem["errno"], f"{problem.get('strerror')} (on process {number})")
    return HostError(f"process {number} of this training: {problem['class']}: {problem['text']}")


# Values.


def is_divided(value: Any) -> bool:
    """Whether an array has parts that no device of some process holds. The same answer on every process."""
    if not is_shared(value) or value.is_fully_replicated:
        return False
    held: dict[int, set[Any]] = {}
    places = value.sharding.devices_indices_map(value.shape)
    for device, place in places.items():
        held.setdefault(device.process_index, set()).add(_hashable(place))
    return any(parts != {*map(_hashable, places.values())} for parts in held.values())


def is_shared(value: Any) -> bool:
    """Whether an array lies on devices of several processes, in parts or in copies."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.Array) and not value.is_fully_addressable


def whole(value: Any) -> Any:
    """The value of an array as one of NumPy; if it :func:`is_divided`, every process has to ask for it."""
    import numpy

    if not is_shared(value):
        return numpy.asarray(value)
    if value.is_fully_replicated:
        return numpy.asarray(value.addressable_data(0))
    if is_divided(value):
        from jax.experimental import multihost_utils

        return numpy.asarray(multihost_utils.process_allgather(value, tiled=True))
    made = numpy.empty(value.shape, value.dtype)
    for shard in value.addressable_shards:
        made[shard.index] = numpy.asarray(shard.data)
    return made


def _hashable(place: Any) -> Any:
    return tuple((part.start, part.stop) for part in place)
