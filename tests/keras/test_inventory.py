"""Two models are compared by the names, shapes and dtypes of their weights; what differs is said in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._keras.weights import inventory, mismatches


def holding(*lines: str, built: bool = True) -> Any:
    """Stands for a model with these weights."""
    weights = []
    for line in lines:
        path, shape, dtype = line.split(" ")
        numbers = tuple(int(n) for n in shape.strip("()").split(",") if n)
        weights.append(SimpleNamespace(path=path, shape=numbers, dtype=dtype))
    return SimpleNamespace(weights=weights, built=built)


def saved(*lines: str) -> list[str]:
    return inventory(holding(*lines))


def layers(*sizes: int, **options: Any) -> Any:
    return keras.Sequential([keras.Input((3,)), *(keras.layers.Dense(n, **options) for n in sizes)])


def test_one_line_for_each_weight() -> None:
    """Path, shape and dtype, in the order of the weights."""
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, name="a"), keras.layers.Dense(1, name="b")], name="net"
    )
    lines = ["a/kernel (3, 2) float32", "a/bias (2,) float32", "b/kernel (2, 1) float32", "b/bias (1,) float32"]
    assert [line.removeprefix("net/") for line in inventory(model)] == lines


@pytest.mark.parametrize("nested", [False, True])
def test_the_same_model_made_again_matches(nested: bool) -> None:
    """Although Keras numbers its layers, and the model, by how many of them the process has made."""

    def make() -> Any:
        inner = keras.Sequential([keras.layers.Dense(2), keras.layers.BatchNormalization()])
        return keras.Sequential([keras.Input((3,)), *([inner] if nested else inner.layers), keras.layers.Dense(1)])

    first, second = make(), make()
    assert inventory(first) != inventory(second)
    assert mismatches(second, inventory(first)) == mismatches(first, inventory(second)) == []


LINES = st.builds(
    "{}/{} ({}) {}".format,
    st.sampled_from(["dense", "dense_1", "conv_12/cell_3", "own_2x", "own_3x"]),
    st.sampled_from(["kernel", "bias_1"]),
    st.sampled_from(["", "3,", "3,4"]),
    st.sampled_from(["float32", "int8"]),
)


@given(lines=st.lists(LINES, max_size=9), i=st.integers(0, 8), line=LINES)
def test_any_weight_that_differs_is_found(lines: list[str], i: int, line: str) -> None:
    """One that is replaced by another, at its place; numbers at the end of a name do not count."""
    import re

    def bare(line: str) -> str:
        return re.sub(r"_\d+(?=[/ ])", "", line)

    assert mismatches(holding(*lines), saved(*lines)) == []
    if i < len(lines):
        other = [*lines[:i], line, *lines[i + 1 :]]
        was, now = saved(lines[i])[0], saved(line)[0]
        expected = [] if bare(lines[i]) == bare(line) else [f"weight {i}: expected {was}, found {now}"]
        assert mismatches(holding(*other), saved(*lines)) == expected


A, B, C, D, E = (f"{name}/kernel (2,) float32" for name in "abcde")


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ([A, B], [A], ["1 missing: b/kernel (2,) float32"]),
        ([A], [A, B, C], ["2 not in the checkpoint: b/kernel (2,) float32, c/kernel (2,) float32"]),
        ([A, B, C, D], [A], [f"3 missing: {B}, {C}, {D}"]),
        ([A], [A, B, C, D, E], [f"4 not in the checkpoint: {B}, {C}, {D}..."]),
        ([B, A], [A], [f"weight 0: expected {B}, found {A}", f"1 missing: {A}"]),
        ([A], [], [f"1 missing: {A}"]),
    ],
    ids=["missing", "more", "three missing", "four more", "shifted", "all missing"],
)
def test_weights_too_many_or_too_few_are_named(was: list[str], now: list[str], words: list[str]) -> None:
    """At most three of them, at the end of the list."""
    assert mismatches(holding(*now), saved(*was)) == words


@pytest.mark.parametrize(("differ", "words"), [(5, 5), (6, 6), (9, 6)])
def test_list_ends_after_five(differ: int, words: int) -> None:
    """The rest is counted."""
    different = mismatches(holding(*[A] * differ), saved(*[B] * differ))
    assert len(different) == words
    assert all(f"weight {i}: " in different[i] for i in range(5))
    if differ > 5:
        assert different[5] == f"and {differ - 5} more"


def test_where_nothing_is_known_nothing_differs() -> None:
    """Of a checkpoint that has no list, and of a model that has no weights yet."""
    assert mismatches(holding(A), []) == []
    assert mismatches(holding(built=False), saved(A)) == []
    assert mismatches(keras.Sequential([keras.layers.Dense(1)]), saved(A)) == []
