"""The programs that dodo is measured beside, each in an environment of its own."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

OWN = Path("build/bench")
"""Everything that is installed for the benchmark, below the folder it is started in."""

PINNED = {
    "dvc": "dvc==3.67.1",
    "snakemake": "snakemake==9.27.1",
    "doit": "doit==0.37.0",
    "matplotlib": "matplotlib==3.10.*",
}
PACKAGES = {
    "make": "make",
    "ninja": "ninja-build",
    "git": "git",
    "restic": "restic",
    "xxhsum": "xxhash",
    "cp": "coreutils",
}
"""Programs of the system, and Debian's names for them."""


class Missing(Exception):
    """A program is not there and cannot be installed; says why."""


class Peers:
    """Finds programs, and installs those that are not there when they are first asked for."""

    def __init__(self, given: dict[str, str]) -> None:
        self._found: dict[str, str | Missing] = {}
        for name, path in given.items():
            found = shutil.which(path)
            self._found[name] = os.path.abspath(found) if found else Missing(f"no program {path!r}")

    def program(self, name: str) -> str:
        """The path of a peer's program.

        Raises:
            Missing
        """
        if name not in self._found:
            try:
                self._found[name] = _in_venv(name) if name in PINNED else _of_system(name)
            except Missing as error:
                self._found[name] = error
        found = self._found[name]
        if isinstance(found, Missing):
            raise found
        return found

    def versions(self) -> dict[str, str]:
        """What those that were asked for say of themselves."""
        found = {"dodo": importlib.metadata.version("dodo-exp")}
        for name, path in sorted(self._found.items()):
            if isinstance(path, str) and name != "matplotlib":
                found[name] = _version(path)
        return found


def ours(name: str = "dodo") -> str:
    """The console script beside the running Python, as a user starts it."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise Missing(f"no {name!r} beside {sys.executable}: install the project there")
    return str(path)


def in_own(name: str) -> str:
    """The Python of a venv that is made for one pinned package."""
    python = (OWN / name / "bin" / "python").absolute()
    made = OWN / name / f".made-{PINNED[name]}"
    if not made.exists():
        print(f"installing {PINNED[name]} into {OWN / name}", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(OWN / name)], check=True)
            words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([str(python), *words, PINNED[name]], check=True)
        except subprocess.CalledProcessError as error:
            raise Missing(f"cannot install {PINNED[name]}") from error
        made.touch()
    return str(python)


def _in_venv(name: str) -> str:
    return str(Path(in_own(name)).with_name(name))


def _of_system(name: str) -> str:
    if (found := shutil.which(name)) is not None:
        return os.path.abspath(found)
    if os.geteuid() == 0 and shutil.which("apt-get"):
        words = ["apt-get", "install", "-qq", "--no-install-recommends", "-y", PACKAGES[name]]
        subprocess.run(words, check=False, stdout=subprocess.DEVNULL)
        if (found := shutil.which(name)) is not None:
            return os.path.abspath(found)
    raise Missing(f"no program {name!r} on PATH; install {PACKAGES[name]}")


def _version(path: str) -> str:
    """The first number that looks like a version in what `--version` prints."""
    word = "version" if path.endswith("restic") else "--version"
    done = subprocess.run([path, word], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+\S*", done.stdout + done.stderr)
    return found[0].rstrip(",") if found else "unknown"
