"""The notebook: a cell is interrupted, and the next goes on as the run that nobody interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from programs import path_of

NOTEBOOK = path_of("notebook.ipynb")


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the notebook's cells of code have put out, executed in an empty directory."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    (tmp_path / "work").mkdir()
    notebook = read()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path / "work")}}).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def text_of(outputs: list[Any]) -> str:
    """All that a cell has put out but errors and their like, as text."""
    displayed = [output.data["text/plain"] for output in outputs if "data" in output]
    return "\n".join([*displayed, *(output.text for output in outputs if output.get("name") == "stdout")])


@pytest.mark.heavy
def test_a_cell_is_interrupted_and_the_next_goes_on(outputs: list[Any]) -> None:
    """The run is saved at the very batch where it is interrupted, goes on after it, and ends with the weights and
    the history of a run that was not; nobody is warned of anything, and what is displayed has a table."""
    *_, interrupted, listed, resumed, whole, compared = outputs
    assert [output.ename for output in interrupted if output.output_type == "error"] == ["StoppedBySignal"]
    assert "epoch.interim.keras" in text_of(listed) and "batch=19" in text_of(listed)
    assert "initial_epoch=3, batch=19>" in text_of(resumed)
    assert "Epoch 4/6" in text_of(resumed) and "Epoch 3/6" not in text_of(resumed)
    assert "Epoch 1/6" in text_of(whole)
    assert text_of(compared) == "weights identical: True; history identical: True\n"
    assert not [output.text for cell in outputs for output in cell if "Warning" in output.get("text", "")]
    shown = [output.data for cell in outputs for output in cell if "data" in output]
    assert len(shown) == 6 and all("<table" in data["text/html"] for data in shown)


def test_it_is_kept_without_outputs() -> None:
    """The file has neither outputs nor counts of executions, and asks for no other kernel than Python's."""
    notebook = read()
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.outputs, cell.execution_count) for cell in cells] == [([], None)] * len(cells)
    assert notebook.metadata.kernelspec.name == "python3"
