"""Which cases of a large product run by default; the others run with ``make heavy``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def by_default(cases: Iterable[str], *names: str) -> list[Any]:
    """Parameters for all cases, each with its name as its id; those that are not in ``names`` are heavy."""
    cases = [*cases]
    assert {*names} <= {*cases}, f"no such cases: {sorted({*names} - {*cases})}"
    return [pytest.param(case, id=case, marks=[] if case in names else pytest.mark.heavy) for case in cases]
