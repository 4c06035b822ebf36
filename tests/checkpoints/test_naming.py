"""Names of files: which a template may give, and those of a run's own making."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback_state._checkpoints.names import final_name, fits, interim_name


@pytest.mark.parametrize(
    ("name", "template", "fitting"),
    [
        ("007.keras", "{epoch:03d}.keras", True),
        ("007.h5", "{epoch:03d}.keras", False),
        ("x.keras", "{epoch}.keras", False),
        (".keras", "{epoch}.keras", False),
        ("best.keras", "best.keras", True),
        ("best.keras.keras", "best.keras", False),
        ("1.00e-05-7.keras", "{loss:.2e}-{epoch}.keras", True),
        ("m0.5m1m3.keras", "m{loss}m{acc}m{epoch}.keras", True),
        ("x-y-3-z.keras", "{name}-{epoch}-{other}.keras", True),
        ("12.keras", "{epoch}{batch}.keras", True),
        ("1.keras", "{epoch}{batch}.keras", False),
        ("ff-  7.keras", "{epoch:x}-{batch:3d}.keras", True),
        ("a(b.keras", "a(b.keras", True),
        ("{a}0.50.keras", "{{a}}{out/mae:.2f}.keras", True),
        ("{epoch.keras", "{epoch.keras", True),
    ],
)
def test_whether_a_template_may_give_a_name(name: str, template: str, fitting: bool) -> None:
    """Numbers where epochs and batches stand, whatever else anywhere else."""
    assert fits(name, template) is fitting


PARTS = ["{epoch}", "{epoch:03d}", "{batch}", "{batch:5d}", "{loss:.3e}", "{loss}", "-", "a.b", "(+"]


@given(
    epoch=st.integers(0, 10**6),
    batch=st.integers(0, 10**6),
    loss=st.floats(allow_nan=True),
    parts=st.lists(st.sampled_from(PARTS), min_size=1),
)
def test_a_name_that_a_template_gives_fits_it(epoch: int, batch: int, loss: float, parts: list[str]) -> None:
    """Whatever the values are."""
    template = "".join(parts) + ".keras"
    assert fits(template.format(epoch=epoch, batch=batch, loss=loss), template)


@pytest.mark.parametrize("placeholder", ["{epoch}", "{loss}"])
def test_a_template_that_is_made_to_take_for_ever_does_not(placeholder: str) -> None:
    """A regular expression of it would."""
    assert not fits("1" * 255 + "x", placeholder * 200 + "y")


@given(st.text(string.ascii_letters + "{}:.", max_size=20))
def test_names_of_a_runs_own_making_end_like_model_files(stem: str) -> None:
    """Whatever the template is."""
    assert interim_name(f"{stem}.weights.h5").endswith(".interim.weights.h5")
    assert final_name(f"{stem}.keras") == f"{stem}.final.keras"
