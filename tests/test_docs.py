"""The documentation cannot drift: what it lists is what there is, and its reader reads every golden file.

Sphinx builds it and runs its examples, see ``make docs``; here the sources are read, and Sphinx is not needed.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import golden_states
import keras
import numpy as np
import pytest
import yaml
from golden_states import FILES, KEY, TWO_PROCESSES
from hypothesis import given, settings
from numbers_of_types import numbers
from places import ROOT, TESTS

import callback_state
import callback_state.testing
from callback_state import cli, data
from callback_state._callbacks.builders import Builders
from callback_state._callbacks.stock import ADAPTERS
from callback_state._checkpoints import schema
from callback_state._checkpoints.snapshot import Snapshot
from callback_state._checkpoints.summary import KIND
from callback_state._checkpoints.typed import to_plain
from callback_state._format import blocks, pickles, statefile
from callback_state._format import columns as _columns
from callback_state._format import kinds as _kinds
from callback_state._format.blocks import Blocks
from callback_state._format.encode import Encoder
from callback_state._format.statefile import seal
from callback_state._format.table import MUTABLE
from callback_state._store import commit, disk
from callback_state.testing import plugin, strategies

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.rst"))}


def program(name: str, folder: Path = DOCS) -> Any:
    """A Python file of the documentation, or of another folder, as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reader = program("reader")


def part(page: str, name: str) -> str:
    """What stands between two comments of a page."""
    found = re.search(rf"\.\. begin {name}\n(.*?)\n\.\. end {name}\n", PAGES[page], re.DOTALL)
    assert found is not None, f"docs/{page}.rst has no part {name}"
    return found[1]


def rows(table: str) -> list[list[str]]:
    """The cells of a list-table, its header left out, each on one line."""
    cells: list[list[str]] = []
    for line in table.splitlines():
        if match := re.match(r"   (\*| ) - ?(.*)", line):
            if match[1] == "*":
                cells.append([])
            cells[-1].append(match[2])
        elif cells and line.startswith("     "):
            cells[-1][-1] += f" {line.strip()}"
    return cells[1:]


def literals(text: str) -> set[str]:
    return set(re.findall(r"``([^`]+)``", text))


# Every name.


def public() -> Iterator[tuple[str, Any]]:
    """Every public name with its object."""
    for module in (callback_state, data, callback_state.testing, strategies):
        yield from ((f"{module.__name__}.{name}", getattr(module, name)) for name in module.__all__)


NAMES = dict(public())
FUNCTIONS = {name: thing for name, thing in NAMES.items() if inspect.isfunction(thing)}
CLASSES = {name: thing for name, thing in NAMES.items() if inspect.isclass(thing)}


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """With its docstring: of ``callback_state``, its data, its testing, and the errors."""
    module, _, last = name.rpartition(".")
    found = set(re.findall(r"^\.\. auto\w+:: (\S+)$", PAGES["api"] + PAGES["testing"], re.MULTILINE))
    assert name in found or (module == strategies.__name__ and module in found)
    assert last in module_names(module)


def module_names(module: str) -> list[str]:
    return importlib.import_module(module).__all__  # type: ignore[no-any-return]


def test_every_fixture_and_the_marker_are_in_the_reference() -> None:
    """Those that pytest gets with the package."""
    page = PAGES["testing"]
    for name in plugin.__all__:
        assert f"callback_state.testing.plugin.{name}\n" in page or f".. py:function:: {name}\n" in page
    assert "pytest.mark.resumes(epochs, steps, **options)" in page


def documented(docstring: str, section: str) -> set[str]:
    """The names that a section of a docstring explains."""
    lines = inspect.cleandoc(docstring).split("\n")
    assert f"{section}:" in lines, f"the docstring has no {section}:"
    body = lines[lines.index(f"{section}:") + 1 :]
    end = next((i for i, line in enumerate(body) if line and not line.startswith("    ")), len(body))
    heads = [match[1] for line in body[:end] if (match := re.match(r"    ([\w*][\w*, ]*):", line))]
    return {name.strip() for head in heads for name in head.split(",")}


def parameters(function: Any) -> set[str]:
    named = inspect.signature(function).parameters.values()
    return {p.name for p in named if p.name != "self"}


@pytest.mark.parametrize(
    "name", [*(n for n, f in FUNCTIONS.items() if parameters(f)), "callback_state.ModelCheckpointEnhanced"]
)
def test_every_argument_is_explained(name: str) -> None:
    """In the section Args of the docstring, and no argument that is not there."""
    thing = NAMES[name]
    assert documented(thing.__doc__, "Args") == parameters(thing)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example_that_is_run(name: str) -> None:
    """None is left out when the documentation is built."""
    assert ">>> " in FUNCTIONS[name].__doc__
    assert "+SKIP" not in FUNCTIONS[name].__doc__


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_says_what_it_is(name: str) -> None:
    """And what each public attribute of a result is."""
    thing = CLASSES[name]
    assert thing.__doc__ and not thing.__doc__.startswith(thing.__name__)
    if issubclass(thing, callback_state.CallbackStateError) or thing.__doc__.count("\n") == 0:
        return
    fields = [field for field in getattr(thing, "__dataclass_fields__", ()) if not field.startswith("_")]
    assert all(re.search(rf"\b{field}\b", thing.__doc__) for field in fields)


def test_every_page_is_in_the_navigation() -> None:
    """A page that no table of contents names is found by nobody."""
    named = set(re.findall(r"^   ([a-z-]+)$", PAGES["index"], re.MULTILINE))
    assert named == PAGES.keys() - {"index"}


@pytest.mark.parametrize(
    "page", sorted(PAGES.keys() - {"index", "changelog", "contributing", "command-line", "testing"})
)
def test_a_page_begins_with_whom_it_is_for(page: str) -> None:
    """So that a reader who is wrong there goes on."""
    assert re.search(r"\A=+\n.+\n=+\n\nFor everybody ", PAGES[page])


INCLUDED = r"\.\. include:: (\S+)\n(?:   :start-after: (.*)\n)?(?:   :end-before: (.*)\n)?"
INCLUDES = re.findall(INCLUDED, "".join(PAGES.values()))


@pytest.mark.parametrize(("path", "start", "end"), INCLUDES, ids=[f"{found[0]} {found[1]}" for found in INCLUDES])
def test_what_a_page_includes_is_there(path: str, start: str, end: str) -> None:
    """Its beginning once, and its end after that."""
    text = (DOCS / path).read_text(encoding="utf-8")
    assert not start or text.count(start) == 1
    assert end in (text.partition(start)[2] if start else text)


def block_of(page: str, language: str) -> str:
    """The one program of a page in this language."""
    (text,) = re.findall(rf"^\.\. code-block:: {language}\n\n((?:    .*\n|\n)+)", PAGES[page], re.MULTILINE)
    return textwrap.dedent(text)


def test_the_script_for_slurm_is_a_script() -> None:
    """Bash reads it, and it asks for the exit status on which it starts again."""
    script = block_of("hosts", "bash")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.startswith("#!/bin/bash\n#SBATCH") and "-eq 75" in script


def test_the_job_for_kubernetes_is_a_job() -> None:
    """A parser of YAML reads it, and a pod that ends with 75 is replaced."""
    job = yaml.safe_load(block_of("hosts", "yaml"))
    (rule,) = job["spec"]["podFailurePolicy"]["rules"]
    assert (job["kind"], rule["action"], rule["onExitCodes"]["values"]) == ("Job", "Ignore", [75])
    assert job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] == "run"


# The command line.


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """On the page of the command line, each with what it does."""
    commands = program("commands")
    assert ".. commands::\n" in PAGES["command-line"]
    page, command = commands.page(), commands.command_of(name)
    section = re.search(rf"^{name}\n-+\n(.*?)(?=^[a-z]+\n-+\n|\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None and command.help
    for option in (p for p in command.params if p.param_type_name == "option" and not p.hidden):
        assert option.help, f"{option.name} of {name} has no help"
        assert all(spelling in section[1] for spelling in option.opts)


# The stock callbacks.


def stock(cell: str) -> tuple[str, tuple[int, ...]]:
    """The name of a callback, and the first supported Keras that has it."""
    match = re.fullmatch(r"``(\w+)``(?: \(Keras ([\d.]+)\))?", cell)
    assert match is not None, cell
    return match[1], tuple(map(int, (match[2] or "3.7").split(".")))


STOCK = rows(part("captured", "stock"))


def test_each_stock_callback_has_its_row() -> None:
    """Those that this Keras has, and no other, save for those that are newer."""
    version = tuple(map(int, keras.__version__.split(".")[:2]))
    since = dict(stock(row[0]) for row in STOCK)
    assert since.keys() == ADAPTERS.keys()
    here = {name for name, number in since.items() if number <= version}
    assert here == {name for name in ADAPTERS if hasattr(keras.callbacks, name)}


@pytest.mark.parametrize("row", STOCK, ids=[stock(row[0])[0] for row in STOCK])
def test_a_row_says_what_is_saved_of_a_stock_callback(row: list[str]) -> None:
    """Its attributes, its direction, its file, and what is never taken from a file: as the adapter has it."""
    adapter, saved, by_hand = ADAPTERS[stock(row[0])[0]], row[1], row[2]
    assert literals(saved) - {"fit"} == set(adapter.state)
    assert ("smaller or larger" in saved) == adapter.direction
    assert ("cut back" in saved) == (adapter.outside is not None)
    assert literals(by_hand) == set(adapter.by_hand)


def test_every_argument_of_a_model_checkpoint_is_in_the_migration() -> None:
    """Those of Keras's class, each with what is different."""
    table = rows(part("migration", "arguments"))
    assert {row[0].strip("`") for row in table} == parameters(keras.callbacks.ModelCheckpoint)


def test_the_page_on_trust_has_the_numbers_of_the_tests() -> None:
    """How often a file is forged, and in how many places links lie."""
    tests = program("test_forged", TESTS / "saving")
    text = part("trust", "forged")
    assert [int(row[0]) for row in rows(text)] == [tests.PLAYED, tests.PLAYED, tests.REAL, tests.LONG]
    assert f"links lie in {len(tests.SPOTS)} places" in text


# The format.


@pytest.mark.parametrize("directory", FILES.values(), ids=FILES.keys())
def test_a_reader_made_from_the_page_alone_reads_every_file(directory: Path) -> None:
    """Both digests, the signature, every key, attribute and number, and the history, as the package reads them."""
    model, state = directory / "m.weights.h5", directory / "m.weights.h5.callbacks.pkl"
    signed = directory.name.startswith("signed-")
    found = reader.read(state.read_bytes(), model.read_bytes(), (KEY, model.name) if signed else None)
    snapshot = Snapshot.open(str(model))
    assert {key: set(attributes) for key, attributes in found["state"].items()} == snapshot.stored()
    assert found["pickles"] == snapshot.pickles
    for key, value in to_plain(snapshot.meta).items():
        if key != "callbacks":  # whose arguments are tables of their own, which stay tables
            assert repr(value) == repr(found["meta"][key]), key  # of NaN too
    assert [c["key"] for c in found["meta"]["callbacks"]] == [entry.key for entry in snapshot.meta.callbacks]
    assert found["run"]["seconds"] == snapshot.run.seconds


def test_the_reader_reads_what_other_processes_had() -> None:
    """Their generators, and how far each had read its data."""
    found = reader.read(TWO_PROCESSES.with_name(f"{TWO_PROCESSES.name}.callbacks.pkl").read_bytes())
    (other,) = found["parts"]
    snapshot = Snapshot.open(str(TWO_PROCESSES)).of_process(1, 2)
    assert repr(to_plain(snapshot.run)["data"]["training"]["seen"]) == repr(
        other["run"]["data"]["training"]["seen"]
    )
    assert other["run"]["generators"].keys() == found["run"]["generators"].keys()


def held(name: str) -> Any:
    """The value of a golden file, as the reader reads it."""
    state = FILES[f"keras-3.7/{name}"] / "m.weights.h5.callbacks.pkl"
    return reader.read(state.read_bytes())["state"]["Holds"]["value"]


def test_the_reader_reads_numbers_and_texts() -> None:
    """Down to their bits."""
    *plain, number = golden_states.values("numbers")
    assert repr(held("numbers")) == repr([*plain, ("complex", number.real, number.imag)])
    *texts, last = golden_states.values("texts")
    assert held("texts") == [*texts, ("bytearray", bytes(last))]


def test_the_reader_reads_arrays() -> None:
    """Shape, memory order and bytes."""
    found = held("arrays")
    for name, array in golden_states.values("arrays").items():
        kind, _, shape, order, content, writeable = found[name]
        assert (kind, shape, writeable) == ("array", array.shape, True)
        assert content == array.tobytes(order)


def test_the_reader_keeps_what_is_shared() -> None:
    """One object stays one, also where it holds itself."""
    outer, inner = held("shared-and-cyclic")
    assert outer["a"] is outer["b"] is inner and inner[1] is outer


def test_the_reader_reads_arrays_files(tmp_path: Path) -> None:
    """Two callbacks have large arrays, in rows and in columns, and each has a file."""
    rows = np.arange(300_000, dtype="<f8").reshape(300, 1000)
    collected = Blocks()
    states = {"A": {"x": rows, "y": np.asfortranarray(rows)}, "B": {"x": rows + 1}}
    table = Encoder(blocks=collected).table(states)
    tree = [table.nodes, table.root, table.root, []]
    with commit.write(
        tmp_path / "m.keras",
        lambda path: disk.write_bytes(path, b"model"),
        lambda digest, size: seal(tree, digest, size, blocks=collected.entries()),
        arrays=collected.files(),
    ) as written:
        commit.commit(written)

    def read_file(digits: str) -> bytes:
        return (tmp_path / f"m.keras.callbacks.{digits}.arrays").read_bytes()

    data = (tmp_path / "m.keras.callbacks.pkl").read_bytes()
    found = reader.read(data, b"model", read_file=read_file)["state"]
    for key, state in states.items():
        for name, array in state.items():
            assert found[key][name][4] == array.tobytes("A")
    for damage in (b"", bytes(4_800_000), bytes(2_400_000)):
        with pytest.raises(AssertionError):
            reader.read(data, read_file=lambda digits, damage=damage: damage)


@pytest.mark.parametrize("at", [0, 100, -200, -100, -1])
def test_the_reader_refuses_a_damaged_file(at: int) -> None:
    """One bit in the payload, the digests, the trailer; and a file that is cut."""
    sound = (FILES["keras-3.15/numbers"] / "m.weights.h5.callbacks.pkl").read_bytes()
    damaged = bytearray(sound)
    damaged[at] ^= 1
    for content in (bytes(damaged), sound[:-1], sound[1:]):
        with pytest.raises(AssertionError):
            reader.unseal(content)


def test_the_reader_refuses_another_key_and_another_model() -> None:
    """Whoever follows the page finds a stranger."""
    directory = FILES["keras-3.15/signed-numbers"]
    state, model = ((directory / f"m.weights.h5{end}").read_bytes() for end in (".callbacks.pkl", ""))
    for wrong in ((b"another key", "m.weights.h5"), (KEY, "n.weights.h5")):
        with pytest.raises(AssertionError, match="signed"):
            reader.unseal(state, model, wrong)
    with pytest.raises(AssertionError):
        reader.unseal(state, model[:-1])


def test_the_page_has_every_kind_of_node() -> None:
    """And no other: those that are built here, and those of what is not plain."""
    built = {*MUTABLE, "tuple", "frozenset", "record", *_kinds._FROM_DATA, *_kinds._WITH_LIVE}
    kinds = {*built, *Builders("", None, None, {}), "callback", KIND}
    named = set(re.findall(r'"(\w+)"', part("format", "kinds")))
    assert named - {"model", "optimizer"} == kinds


def test_the_page_has_every_type_of_column() -> None:
    """Those that are packed, and no other."""
    named = set(re.findall(r'"([^" ]+)"', part("format", "columns"))) - {"scalar"}
    assert named == {*_columns._NAMES.values(), "steps", "drift", "long", "text", "mixed", *_columns._DTYPES}


def plain(value: Any) -> Any:
    """As the reader gives a scalar of NumPy: its type and its value."""
    if not isinstance(value, np.generic):
        return value
    number = value.item()
    return value.dtype.str, (number.real, number.imag) if isinstance(number, complex) else number


@given(numbers)
@settings(max_examples=100, deadline=None)
def test_the_reader_reads_any_column(values: list[Any]) -> None:
    """Of every type and every mixture, with all bits."""
    column = _columns.pack(values)
    if column is not None:
        assert repr(reader.column_of(column)) == repr([*map(plain, values)])


def test_the_example_of_a_table_is_what_the_encoder_makes() -> None:
    """The nodes of a dict that holds one list twice."""
    a = [1.5]
    table = Encoder().table({"x": a, "y": a})
    assert f"nodes = {table.nodes!r}".replace("'", '"') in PAGES["format"]


def test_the_page_has_every_opcode() -> None:
    """Those that the package reads, and the reader's."""
    named = {int(code, 16) for row in rows(part("format", "opcodes")) for code in literals(row[0])}
    assert named == {*pickles._VALUES, *pickles._STEPS, pickles.STOP}


def test_the_page_has_the_trailer() -> None:
    """Each field with its offset and size."""
    found = [(int(offset), int(size)) for offset, size, _ in rows(part("format", "trailer"))]
    offsets = [sum(size for _, size in found[:i]) for i in range(len(found))]
    assert [offset for offset, _ in found] == offsets
    assert sum(size for _, size in found) == statefile.TRAILER_SIZE
    widths = re.findall(r"\d+s|[HQ]", statefile._FIELDS.format)
    expected = [{"H": 2, "Q": 8}.get(width) or int(width[:-1]) for width in widths]
    assert [size for _, size in found] == [*expected, 32]


def test_the_page_has_what_is_said_of_a_block() -> None:
    """Each field with its offset and size."""
    found = [(int(offset), int(size)) for offset, size, _ in rows(part("format", "blocks"))]
    assert found == [(0, 4), (4, 8), (12, 32)] and blocks._ENTRY.format == "<IQ32s"


@pytest.mark.parametrize("name", ["meta", "run"])
def test_the_page_has_every_key(name: str) -> None:
    """Of ``meta`` and ``run``, and no other."""
    assert {row[0].strip("`") for row in rows(part("format", name))} == {
        key.removesuffix("_") for key in get_type_hints({"meta": schema.Meta, "run": schema.Run}[name])
    }
