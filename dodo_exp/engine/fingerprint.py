"""What a stage's result depends on, as text.

The fingerprint is a list of lines. Its hash is the run-cache key; the lines themselves are kept
beside it. "Why does this run again?" is then a difference of two lists, and it cannot disagree
with the key, because both are read from the same lines.
"""

from __future__ import annotations

from dodo_exp.pipeline.lockfile import Line
from dodo_exp.pipeline.values import ABSENT, canonical, leaves, lookup, matching
from dodo_store.named import Named
from dodo_store.oid import of_bytes
from dodo_store.record import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.model import ParamDep, Stage
    from dodo_store.oid import Oid

FORMAT = 1
"""Part of the key; raise it whenever equal lines would no longer mean equal results."""


_Fact = tuple[str, str, str]
"""A line that need not be kept; the two are equal."""


class Fingerprint(Named):
    """The facts, in a fixed order, and the inputs that are not there."""

    lines: tuple[Line, ...]
    missing: tuple[Line, ...]

    @property
    def key(self) -> Oid:
        """The run-cache key."""
        return key_of(self.lines)


def key_of(lines: tuple[Line, ...]) -> Oid:
    """The run-cache key of these facts; the stage's name is not among them."""
    return of_bytes(pack([FORMAT, lines]))


def take(
    stage: Stage,
    workspace: Workspace,
    known: dict[str, Oid] | None = None,
    before: tuple[Line, ...] = (),
) -> Fingerprint:
    """Look at everything that *stage* reads, now, but for digests that are *known*.

    The lines of *before* are given back if they are the same, as they mostly are.
    """
    known = known or {}
    facts: list[_Fact] = [("cmd", str(i), cmd) for i, cmd in enumerate(stage.cmds)]
    facts.append(("wdir", "", stage.wdir))
    for path in sorted(stage.deps):
        digest = known.get(path) or workspace.digest(path)
        facts.append(("dep", path, digest.hex() if digest else ABSENT))
    for dep in sorted(stage.params):
        facts += _params(dep, workspace.params(dep.file))
    facts += [("out", path, "") for path in sorted([out.path for out in stage.outs])]
    lines = before if before == tuple(facts) else tuple(map(Line._make, facts))
    return Fingerprint(lines, tuple([line for line in lines if line.value == ABSENT]))


def _params(dep: ParamDep, values: dict[Any, Any] | None) -> list[_Fact]:
    """One line a leaf, so that the reason for a run names the very value that changed."""
    if values is None:
        return [("param", f"{dep.file}:", ABSENT)]
    found: dict[str, str] = {}
    for key in dep.keys or ("",):
        try:
            value = lookup(values, key) if key else values
        except KeyError:
            matches = list(matching(values, key))
            for name, match in matches:
                found.update((inner, canonical(leaf)) for inner, leaf in leaves(match, name))
            if not matches:
                found[key] = ABSENT
            continue
        found.update((name, canonical(leaf)) for name, leaf in leaves(value, key))
    return [("param", f"{dep.file}:{name}", text) for name, text in sorted(found.items())]


class Change(Named):
    """One difference; `old` or `new` is None where there is no such fact."""

    kind: str
    name: str
    old: str | None
    new: str | None

    @property
    def verb(self) -> str:
        """modified, new or deleted, in DVC's words."""
        if self.new is None or self.new == ABSENT:
            return "deleted"
        return "new" if self.old is None or self.old == ABSENT else "modified"

    def __str__(self) -> str:
        if self.kind == "cmd":
            return f"command: {self.old or '(none)'} -> {self.new or '(none)'}"
        if self.kind == "wdir":
            return f"working folder: {self.old} -> {self.new}"
        if self.kind == "param":
            name = self.name.rstrip(":")
            old, new = (text if text is not None else ABSENT for text in (self.old, self.new))
            return f"{name}: {old} -> {new}"
        if self.kind == "dep":
            return {
                "modified": f"{self.name} changed",
                "new": f"{self.name} is a new dependency",
                "deleted": f"{self.name} is no longer there"
                if self.new == ABSENT
                else f"{self.name} is no longer a dependency",
            }[self.verb]
        return f"{self.name} is {'a new' if self.old is None else 'no longer an'} output"


def changes(old: tuple[Line, ...], new: tuple[Line, ...]) -> tuple[Change, ...]:
    """How *new* differs from *old*, the command first, then in order of name."""
    before = {line[:2]: line.value for line in old}
    after = {line[:2]: line.value for line in new}
    found = [
        Change(kind, name, before.get((kind, name)), after.get((kind, name)))
        for kind, name in before.keys() | after.keys()
        if before.get((kind, name)) != after.get((kind, name))
    ]
    order = ("cmd", "wdir", "param", "dep", "out")
    return tuple(sorted(found, key=lambda c: (order.index(c.kind), c.name)))
