"""Lean: doit's scheduler without its command line, whose imports take longer than a small run.

For three small stages that is 40 of 130 ms.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

from dodo_store import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_RARE = (
    *("cloudpickle", "dbm", "getopt", "hashlib", "inspect", "multiprocessing", "pathlib", "pdb"),
    *("pickle", "traceback"),
)
"""What doit's modules import for what we never ask of them, in a process of our own."""


class _Later(ModuleType):
    """In place of a module, which is loaded when anything of it is used.

    What is taken from it while others are imported is a function that uses it when it is called.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is not self:
            return getattr(import_module(self.__name__), name)

        def call(*given: Any, **named: Any) -> Any:
            return getattr(self, name)(*given, **named)

        return call


@contextmanager
def doit() -> Iterator[None]:
    """For a block let modules of doit be imported each on its own, with less than they name.

    doit's package is all there as soon as it is asked for. Who has imported it, has it as it is.
    """
    spec = find_spec("doit") if "doit" not in sys.modules else None
    if spec is None or spec.loader is None:
        yield
        return
    loader = spec.loader
    package = module_from_spec(spec)

    def rest(name: str) -> Any:
        """See PEP 562."""
        if find_spec(f"doit.{name}") is not None:
            return import_module(f"doit.{name}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, name)

    # A package runs its `__init__` before any module in it, and that of doit imports all of doit.
    vars(package)["__getattr__"] = rest
    sys.modules["doit"] = package
    # Another thread might import one of them meanwhile, and would keep what stands for it.
    is_safe = own.is_ours() and threading.active_count() == 1
    rare = {name: _Later(name) for name in _RARE if is_safe and name not in sys.modules}
    sys.modules.update(rare)
    try:
        yield
    finally:
        for name in rare:
            del sys.modules[name]
