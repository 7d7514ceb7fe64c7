"""Named: a NamedTuple whose class is made twice as fast.

`typing.NamedTuple` compiles the text of every annotation; a command makes some sixty such classes
each time it starts, which is as much as Python itself takes. For type checkers it is the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Named
else:
    from collections import namedtuple

    OWN = ("__annotations__", "__module__", "__qualname__")

    class _Maker(type):
        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            made.__qualname__ = body["__qualname__"]
            for key, value in body.items():
                if key not in OWN:
                    setattr(made, key, value)
            return made

    class Named(metaclass=_Maker):
        """What a class of fields is derived from: `class Node(Named): name: str`."""


__all__ = ["Named"]
