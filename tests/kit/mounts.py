"""A small file system of its own, mounted in a namespace that only one command sees."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

UNSHARE = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
MOUNT = 'mount -t tmpfs -o size=2m tmpfs "$0" && exec "$@"'


def why_not_mount(directory: Path) -> str:
    """Why no file system can be mounted here; empty if one can."""
    if shutil.which("unshare") is None:
        return "there is no program unshare"
    done = subprocess.run([*UNSHARE, MOUNT, str(directory), "true"], capture_output=True, text=True, timeout=60)
    return f"no mount namespace: {done.stderr.strip()}" if done.returncode else ""
