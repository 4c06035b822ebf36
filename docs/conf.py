"""How Sphinx builds this documentation: without network, and with every example run."""

import dataclasses
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from callback_state import __version__

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# What TensorFlow says before it looks at that; an import that fails says so by an exception.
_stderr = os.dup(2)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
try:
    import tensorflow  # noqa: F401
finally:
    os.dup2(_stderr, 2)

project = "callback_state"
release = version = __version__
copyright = f"the {project} authors"

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest", "sphinx.ext.napoleon", "commands"]
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_rtype = False

# Each document runs its examples in an empty directory of its own.
doctest_global_setup = """
import contextlib, os, tempfile, warnings
__name__ = "__main__"
_directory = contextlib.ExitStack()
_directory.callback(os.chdir, os.getcwd())
os.chdir(_directory.enter_context(tempfile.TemporaryDirectory()))
"""
doctest_global_cleanup = "_directory.close()"

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_copy_source = False


def without_fields(app, what, name, thing, options, signature, returns):
    """What is returned to a user and never made by him needs no signature: its fields are listed below it."""
    is_result = what == "class" and (dataclasses.is_dataclass(thing) or hasattr(thing, "_fields"))
    return ("", returns) if is_result else None


def without_example(app, what, name, thing, options, lines):
    """The examples of the trackers need their libraries: tests/contrib runs them, and the page shows programs."""
    if name.startswith("callback_state.contrib.") and any(
        line.startswith(".. rubric:: Example") for line in lines
    ):
        del lines[next(i for i, line in enumerate(lines) if line.startswith(".. rubric:: Example")) :]


def setup(app):
    app.connect("autodoc-process-docstring", without_example, priority=900)  # after napoleon
    app.connect("autodoc-process-signature", without_fields)
