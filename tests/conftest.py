"""Settings of the whole test suite."""

import os

# Before TensorFlow is imported: its own log would drown the tests'.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
