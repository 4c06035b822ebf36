"""The file name that a user gives, with its placeholders."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._checkpoints.names import fits, interim_name
from callback_state._checkpoints.template import filled, split

#: Names of metrics that braces can take, and how they may be formatted.
FIELDS = st.text(st.characters(exclude_characters="{}!:.[]", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: not name.isdecimal() and name not in ("epoch", "batch")
)
TEXTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=5)


@given(parts=st.lists(st.tuples(TEXTS, FIELDS, st.sampled_from(["", ":.2f", ":>8.1e", "!r"]))), last=TEXTS)
def test_a_name_is_as_keras_makes_it_and_fits_its_template(parts: list[Any], last: str) -> None:
    """Slashes, blanks, braces that are doubled: whatever may stand in a name. The interim file is no path."""
    template = "".join(
        text.replace("{", "{{").replace("}", "}}") + f"{{{field}{how}}}" for text, field, how in parts
    )
    template += last.replace("{", "{{").replace("}", "}}") + "{epoch}.keras"
    logs = {field: 0.5 for _, field, _ in parts}
    stock = keras.callbacks.ModelCheckpoint(f"dir/{template}")
    assert split(f"dir/{template}") == ("dir", template)
    name = filled(template, 3, None, logs)
    assert f"dir/{name}" == stock._get_file_path(3, None, logs)
    assert fits(name, template)
    assert "/" not in interim_name(template)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("m.keras", ("", "m.keras")),
        ("{out/mae:.2f}.keras", ("", "{out/mae:.2f}.keras")),
        ("/a//b/{a/b}-{{c}}.keras", ("/a//b", "{a/b}-{{c}}.keras")),
        ("/m.keras", ("/", "m.keras")),
        ("a{{b}}/{{x}}{epoch}.keras", ("a{b}", "{{x}}{epoch}.keras")),
        ("{epoch}/m.keras", "found one in its directory"),
        ("{a/b}/{epoch}.keras", "found one in its directory"),
        ("a}{epoch}.keras", "cannot format .*Write {{ and }}"),
        ("{epoch.keras", "cannot format"),
        ("{}.keras", "found {}$"),
        ("{0[a]}.keras", r"found {0\[a\]}$"),
    ],
)
def test_the_directory_of_a_template(path: str, expected: Any) -> None:
    """A slash in a placeholder belongs to the name; what could name no file is refused, in words."""
    if type(expected) is tuple:
        assert split(path) == expected
    else:
        with pytest.raises(ValueError, match=expected):
            split(path)


def test_a_value_that_is_missing_or_makes_a_path_is_refused() -> None:
    """The error says which values there are. Nothing is written outside of the directory."""
    with pytest.raises(KeyError, match=r"found none for 'mae'\. There are 'epoch', 'loss'"):
        filled("{mae}.keras", 0, None, {"loss": 1.0})
    with pytest.raises(KeyError, match=r"'loss', 'val_loss'; did you mean 'val_loss'\?"):
        filled("{val_los:.2f}.keras", 0, None, {"loss": 1.0, "val_loss": 1.0})
    with pytest.raises(ValueError, match=r"expected the name of a file, found the path '\.\./x\.keras'"):
        filled("{where}.keras", 0, None, {"where": "../x"})
    with pytest.raises(ValueError, match="expected the name of a file, found the path ''"):
        filled("{where}", 0, None, {"where": ""})
    assert filled("{epoch}-{batch}.keras", 0, 4, {}) == "1-5.keras"
