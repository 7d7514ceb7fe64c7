"""Lean: doit's scheduler without its command line, whose imports take longer than a small run."""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def doit() -> None:
    """Let modules of doit be imported each on its own; its package as soon as it is asked for.

    A package runs its `__init__` before any module in it, and that of doit imports all of doit.
    """
    spec = find_spec("doit") if "doit" not in sys.modules else None
    if spec is None or spec.loader is None:
        return
    loader = spec.loader
    package = module_from_spec(spec)

    def rest(name: str) -> Any:
        """See PEP 562."""
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    vars(package)["__getattr__"] = rest
    sys.modules["doit"] = package
