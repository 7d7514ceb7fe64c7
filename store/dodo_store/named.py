"""Named: a NamedTuple whose class is made ten times as fast.

`typing.NamedTuple` compiles the text of every annotation, and `collections.namedtuple` the source
of a constructor. A command makes some sixty such classes each time it starts, which would take as
long as Python itself. For type checkers it is the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple as Named
else:
    try:
        from _collections import _tuplegetter  # what namedtuple's fields are made of
    except ImportError:
        from operator import itemgetter

        def _tuplegetter(index, doc):
            return property(itemgetter(index), doc=doc)

    _new = tuple.__new__

    class _Maker(type):
        """Makes classes whose annotations are the fields of a tuple."""

        def __new__(cls, name, bases, body):
            fields = tuple(body.get("__annotations__", ()))
            if fields:
                body["__slots__"] = ()
                body["_fields"] = body["__match_args__"] = fields
                body["_field_defaults"] = {field: body[field] for field in fields if field in body}
                for index, field in enumerate(fields):
                    body[field] = _tuplegetter(index, "")
            return type.__new__(cls, name, bases, body)

    def _complete(cls, given, named):
        """All values in order, of which some are *named* or are to be the defaults."""
        defaults = cls._field_defaults
        missing = len(cls._fields) - len(given)
        if not named and 0 < missing <= len(defaults):  # which are the last
            return given + tuple(defaults.values())[-missing:]
        left = cls._fields[len(given) :]
        if len(given) > len(cls._fields):
            raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values, not {len(given)}")
        if not named.keys() <= set(left):
            wrong = sorted(named.keys() - set(left))[0]
            raise TypeError(f"{cls.__name__} has no field {wrong!r} to be given by name")
        try:
            return (*given, *({**defaults, **named}[field] for field in left))
        except KeyError as missing:
            raise TypeError(f"{cls.__name__} needs a value for {missing}") from None

    class Named(tuple, metaclass=_Maker):
        """What a class of fields is derived from: `class Node(Named): name: str`."""

        __slots__ = ()
        _fields = ()
        _field_defaults = {}  # noqa: RUF012 - never changed

        def __new__(cls, *given, **named):
            if named or len(given) != len(cls._fields):
                given = _complete(cls, given, named)
            return _new(cls, given)

        @classmethod
        def _make(cls, values):
            made = _new(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"{cls.__name__} takes {len(cls._fields)} values, not {len(made)}")
            return made

        def _replace(self, **named):
            made = self._make(map(named.pop, self._fields, self))
            if named:
                raise ValueError(f"{type(self).__name__} has no field {next(iter(named))!r}")
            return made

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            pairs = ", ".join(f"{k}={v!r}" for k, v in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({pairs})"

        def __getnewargs__(self):
            return tuple(self)


__all__ = ["Named"]
