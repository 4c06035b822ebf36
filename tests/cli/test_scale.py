"""Axes: round values, coordinates, labels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._units import duration
from callback_state.cli.pictures.scale import Scale, labels

finite = st.floats(-1e300, 1e300)


def test_a_logarithmic_axis_has_powers_of_ten() -> None:
    """Equal ratios have equal lengths."""
    scale = replace(Scale.of([0.001, 10], 0, 100), logarithmic=True)
    assert scale.ticks() == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert [scale(value) for value in scale.ticks()] == pytest.approx([0, 25, 50, 75, 100])


@given(st.lists(finite, min_size=1, max_size=5))
def test_every_value_has_its_place_on_an_axis(values: list[float]) -> None:
    """However large, small, or close together: between the ends, in their order, with two ticks at least."""
    scale = Scale.of(values, 0, 100).rounded()
    coordinates = [scale(value) for value in sorted(values)]
    assert coordinates == sorted(coordinates) and coordinates[0] >= -1e-3 and coordinates[-1] <= 100 + 1e-3
    assert 2 <= len(scale.ticks()) <= 9


@given(st.lists(st.floats(1e-270, 1e300), min_size=1, max_size=5), st.floats(1e3, 1e200))
def test_every_value_has_its_place_on_a_logarithmic_axis(values: list[float], ratio: float) -> None:
    """The same where it is wide enough to be logarithmic."""
    values = [*values, min(values) * ratio if min(values) < 1 else min(values) / ratio]
    scale = replace(Scale.of(values, 0, 100), logarithmic=True)
    coordinates = [scale(value) for value in sorted(values)]
    assert coordinates == sorted(coordinates) and coordinates[0] >= -1e-3 and coordinates[-1] <= 100 + 1e-3
    assert 1 <= len(scale.ticks()) <= 9


@given(st.lists(finite, min_size=2, max_size=6, unique=True))
def test_labels_are_as_short_as_they_can_be_told_apart(values: list[float]) -> None:
    """Two values never have one label."""
    assert len({*labels(values)}) == len(values)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.13, 0.97], [0, 0.5, 1]),
        ([3, 260], [0, 100, 200, 300]),
        ([-1, 1], [-1, -0.5, 0, 0.5, 1]),
        ([5, 5], [4.5, 5, 5.5]),
        ([-0.29771345817387607], [-0.34, -0.32, -0.3, -0.28, -0.26]),
        ([0, 0], [-1, -0.5, 0, 0.5, 1]),
        ([0.90001, 0.90009], [0.9, 0.90005, 0.9001]),
    ],
    ids=["below-one", "hundreds", "both-signs", "one-value", "one-below-zero", "zero", "narrow"],
)
def test_an_axis_goes_from_one_round_value_to_another(values: list[float], ticks: list[float]) -> None:
    """Its ticks are round, reach both ends, and hold all values between them."""
    scale = Scale.of(values, 0, 100).rounded()
    assert scale.ticks() == pytest.approx(ticks)
    assert scale(scale.ticks()[0]) == pytest.approx(0) and scale(scale.ticks()[-1]) == pytest.approx(100)


def test_a_length_of_time_has_two_units() -> None:
    """The two largest, without what is zero; tenths only of what is short."""
    words = {0: "0 s", 0.25: "0.25 s", 9.97: "10 s", 59.9: "1 min", 75: "1 min 15 s", 3620: "1 h"}
    words |= {90061: "1 d 1 h", 1e9: "11,574 d 1 h", math.inf: "an unknown time"}
    assert {seconds: duration(seconds) for seconds in words} == words and duration(None) == words[math.inf]
