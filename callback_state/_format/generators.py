"""Generators of random numbers as plain data; put back into the generator that stands in the place now.

So everybody who draws from it goes on together. Not kept: that a RandomState shares its bit generator
with somebody; on NumPy 1.x a seed sequence that has spawned nothing, where the generator stays.
"""

from __future__ import annotations

import numbers
import random
from collections.abc import Callable
from typing import Any

#: Actions that change what lives already; each returns the action that takes it back.
Later = list[Callable[[], Callable[[], None]]]

#: How many numbers a seed may consist of, and of how many bits each of them.
MAX_WORDS = 1 << 10
#: The bit generators, and how far into a buffer of theirs a state may point: nobody else checks that.
_NAMES = {"MT19937": ("pos", 624), "PCG64": None, "PCG64DXSM": None, "Philox": ("buffer_pos", 4), "SFC64": None}


def encode(numpy: Any, value: Any) -> tuple[Any, ...] | None:
    """(kind, plain values ...), or None for a value that is none of these; ``numpy`` may be None."""
    if type(value) is random.Random:
        return ("Random", *value.getstate())
    if numpy is None:
        return None
    of = numpy.random
    if type(value) is of.Generator:
        return ("Generator", value.bit_generator)
    if isinstance(value, of.BitGenerator):
        name = type(value).__name__
        if name not in _NAMES or type(value) is not getattr(of, name):
            return None
        seeds = value.seed_seq if _is_plain_sequence(numpy, value.seed_seq) else None
        return ("BitGenerator", name, _frozen(value.state), seeds)
    if _is_plain_sequence(numpy, value):
        return ("SeedSequence", value.entropy, value.spawn_key, value.n_children_spawned)
    if type(value) is of.RandomState:
        state = value.get_state(legacy=False)
        return ("RandomState", _frozen(state)) if state["bit_generator"] in _NAMES else None
    return None


def _is_plain_sequence(numpy: Any, value: Any) -> bool:
    # A large pool takes its square in time, and so do many words: only the usual ones are made from a file.
    return (
        type(value) is numpy.random.SeedSequence
        and value.pool_size == 4
        and _is_short(value.entropy)
        and _is_short(value.spawn_key)
    )


def _is_short(words: Any) -> bool:
    """Whether a seed is an integer or some of them, no more and no longer than MAX_WORDS."""
    if type(words).__name__ == "ndarray":
        return bool(words.size <= MAX_WORDS and words.dtype.kind in "iu")
    parts = words if isinstance(words, (tuple, list)) else (words,)
    return len(parts) <= MAX_WORDS and all(
        part is None or (isinstance(part, numbers.Integral) and int(part).bit_length() <= MAX_WORDS)
        for part in parts
    )


def decode_random(live: Any, later: Later, *state: Any) -> Any:
    made = random.Random()
    made.setstate(state)
    if type(state[-1]) not in (float, type(None)):
        raise TypeError("not a state of random.Random")
    if type(live) is not random.Random:
        return made
    later.append(lambda: _exchange(live.getstate, live.setstate, state))
    return live


def decode_seed_sequence(entropy: Any, spawn_key: Any, children: int) -> Any:
    import numpy

    if not (_is_short(entropy) and _is_short(spawn_key)):
        raise ValueError("a seed that is not made of short numbers")
    return numpy.random.SeedSequence(entropy, spawn_key=spawn_key, n_children_spawned=children)


def decode_bit_generator(live: Any, later: Later, name: str, state: Any, seeds: Any) -> Any:
    import numpy

    if name not in _NAMES or not (seeds is None or isinstance(seeds, numpy.random.SeedSequence)):
        raise ValueError(f"no bit generator {name!r} of NumPy's")
    made = getattr(numpy.random, name)(seeds)
    made.state = _checked(name, _thawed(state))
    if type(live) is not type(made) or not _can_adopt(live, seeds):
        return made

    def put(to: Any) -> None:
        if _takes_seeds(live):
            live.__setstate__(to)
        else:
            live.state = to[0]

    later.append(lambda: _exchange(lambda: (live.state, live.seed_seq), put, (made.state, seeds)))
    return live


def decode_generator(live: Any, later: Later, bit_generator: Any) -> Any:
    import numpy

    if type(live) is numpy.random.Generator and live.bit_generator is bit_generator:
        return live
    return numpy.random.Generator(bit_generator)


def decode_random_state(live: Any, later: Later, state: Any) -> Any:
    import numpy

    state = _thawed(state)
    name = _known(state["bit_generator"])
    made = numpy.random.RandomState(getattr(numpy.random, name)())
    made.set_state(_checked(name, state))
    if type(live) is not numpy.random.RandomState or live.get_state(legacy=False)["bit_generator"] != name:
        return made
    later.append(lambda: _exchange(lambda: live.get_state(legacy=False), live.set_state, state))
    return live


def _exchange(get: Callable[[], Any], put: Callable[[Any], None], state: Any) -> Callable[[], None]:
    """Put ``state`` in; returns what puts the former one back."""
    before = get()
    put(state)
    return lambda: put(before)


def _takes_seeds(bit_generator: Any) -> bool:
    """Whether the seed sequence can be exchanged (NumPy 2); before, the state is all that can be set."""
    return isinstance(bit_generator.__reduce__()[2], tuple)


def _can_adopt(live: Any, seeds: Any) -> bool:
    if seeds is None or not seeds.n_children_spawned or _takes_seeds(live):
        return True
    return bool(live.seed_seq is not None and live.seed_seq.state == seeds.state)


def _known(name: str) -> str:
    if name not in _NAMES:
        raise ValueError(f"no bit generator {name!r} of NumPy's")
    return name


def _checked(name: str, state: Any) -> Any:
    """A state whose position lies inside its buffer, which NumPy reads from without looking."""
    bounded = _NAMES[_known(name)]
    if bounded is not None:
        key, size = bounded
        position = state["state"][key] if key in state["state"] else state[key]
        if type(position) is not int or not 0 <= position <= size:
            raise ValueError(f"{key} {position!r} of a {name} lies outside its {size} words")
    return state


def _frozen(state: Any) -> Any:
    """A state dict as nested tuples of pairs: what a leaf refers to must be complete when it is built."""
    if isinstance(state, dict):
        return ("dict", *((key, _frozen(value)) for key, value in state.items()))
    return state


def _thawed(state: Any) -> Any:
    """The reverse. What is no part of such a state could still be filled when it has been looked at."""
    if isinstance(state, tuple) and state[:1] == ("dict",):
        return {key: _thawed(value) for key, value in state[1:]}
    if isinstance(state, (int, float, str)) or type(state).__name__ == "ndarray":
        return state
    raise TypeError(f"{type(state).__name__} in the state of a generator")
