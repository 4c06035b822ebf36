"""The table of the README that says on what the tests have run: ``python .ci/ran.py [--write]``.

It asks the environments in which ``.ci/run`` has run the tests for their versions. With ``--write`` the table goes
into the README; without, it is printed, and a line says whether the README has another one.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Where the tests run: environment, backend, its package, and which tests.
RUNS = (
    (".venv", "TensorFlow", "tensorflow", "all"),
    (".tox/oldest", "TensorFlow", "tensorflow", "all"),
    (".tox/jax", "JAX", "jax", "exactness, processes that die, files, restores, data"),
    (".tox/torch", "torch", "torch", "the same"),
)
ASK = """
import importlib.metadata as m, json, sys
print(json.dumps(["%d.%d" % sys.version_info[:2], *(m.version(name) for name in sys.argv[1:])]))
"""
#: The line of the README after which the table stands, up to its end.
AFTER = "``.ci/ran.py`` says what the tests ran on:\n\n"


def row(environment: str, backend: str, package: str, tests: str) -> list[str]:
    """One line of the table."""
    command = [ROOT / environment / "bin" / "python", "-c", ASK, "keras", package]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    python, keras, version = (".".join(text.split(".")[:2]) for text in json.loads(done.stdout))
    return [f"{backend} {version}", keras, python, tests]


def table() -> str:
    """The table, as it stands in the README."""
    lines = [["backend, on a CPU", "Keras", "Python", "tests"], *(row(*run) for run in RUNS)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([rule, text[0], rule, *text[1:], rule, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write it into the README")
    readme, made = ROOT / "README.rst", table()
    text = readme.read_text(encoding="utf-8")
    head, found = text.split(AFTER)
    if parser.parse_args().write:
        readme.write_text(head + AFTER + made, encoding="utf-8")
        return
    print(made)
    if found != made:
        print(f"README.rst says otherwise. To write this table: {sys.executable} .ci/ran.py --write")


if __name__ == "__main__":
    main()
