"""The table of data in docs/exactness.rst says what the tests here show on this backend."""

from __future__ import annotations

import re

from inside import AXES
from places import ROOT
from test_state_of_data import BACKEND, READ, STATEFUL, rows

COLUMNS = ("tensorflow", "jax", "torch")
#: The names of the rows of the matrix in test_inside.py, as they begin.
OF_MATRIX = {"arrays": "arrays", "tf.data": "dataset", "generator": "generator", "PyDataset": "py"}


def table() -> dict[str, str]:
    """What the table says of each kind of data on this backend."""
    page = (ROOT / "docs" / "exactness.rst").read_text(encoding="utf-8")
    text = page.partition(".. begin data by backend")[2].partition(".. end data by backend")[0]
    found = re.findall(r"   \* - (.*)\n     - (.*)\n     - (.*)\n     - (.*)\n", text)
    return {data: said[COLUMNS.index(BACKEND)] for data, *said in found[1:]}


def test_every_kind_that_is_told_of_was_tried() -> None:
    """What is exact at once, read again or told is what the rows of the tests here are."""
    said = table()
    matrix = {*OF_MATRIX, "callback_state.data"}
    assert {data for data in said if data not in matrix} == {*STATEFUL, *READ}
    tried = {row.values[0] for row in rows()}
    for data, how in said.items():
        if data in matrix:
            assert how == ("at once" if data == "callback_state.data" else "read again")
            assert data not in OF_MATRIX or any(name.startswith(OF_MATRIX[data]) for name in AXES["data"])
        elif data in tried:
            assert how == ("at once" if data in STATEFUL else "read again")
        else:
            assert how == "told"
