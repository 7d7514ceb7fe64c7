"""Expand: drafts -> stages: variables loaded, templates filled, groups unrolled, paths joined.

A group's stages are named `group@key` exactly as DVC names them. Where DVC lets one stage silently
take another's place because their keys are the same text, that is a fault here.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from itertools import product
from typing import Protocol

from dodo_exp.errors import BadInput, LeavesRoot
from dodo_exp.pipeline import needs, template, yaml12
from dodo_exp.pipeline.dvcyaml import Data, Draft, Group, Text
from dodo_exp.pipeline.model import (
    PARAMS_FILE,
    Out,
    ParamDep,
    PipelineFile,
    Stage,
)
from dodo_exp.pipeline.template import Arguments, Context, TemplateError
from dodo_store.named import Named
from dodo_store.pattern import pattern
from dodo_store.tree import is_reserved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from dodo_exp.errors import Faults
    from dodo_exp.pipeline.dvcyaml import Document, OutDraft
    from dodo_exp.pipeline.pyyaml import Node

MAX_STAGES = 100_000
MAX_FILLED = 100 << 20
MAX_COMMAND = (128 << 10) - 1
"""Bytes that Linux lets one argument have; the shell gets a command as one."""
FILE_INSTEAD = "put it into a script, or its data into a file"
WATCHED = "an output outside is only watched, with 'cache: false'"
ABSOLUTE = "a dependency outside is named by its absolute path"
PROTECTED_FILES = (
    *("dvc.yaml", "dvc.lock", "dodo.lock", "params.yaml", "dodo.py"),
    *(".dvcignore", ".gitignore", ".dodoignore"),
)
PROTECTED_FOLDERS = frozenset({".dvc", ".hg", ".svn"})


class Around(Protocol):
    """What a dvc.yaml may ask of the folder it lies in; paths are relative to the root."""

    def params(self, path: str) -> dict[Any, Any] | None:
        """The contents of a parameter file; None where there is none."""

    def inside(self, path: str) -> str:
        """A path that begins with `/` or `../`, as one of the project if it leads back there."""

    def full(self, path: str) -> str:
        """The absolute path of one relative to the root."""

    def glob(self, folder: str, pattern: str) -> list[str]:
        """The files that match, relative to *folder*, in order of name.

        Raises:
            TemplateError: very many do.
        """

    def arguments(self) -> Arguments:
        """How mappings become arguments."""


class Member(Named):
    """One stage of a group: its key as text, and the variables it adds."""

    key: str
    bound: dict[str, Any]


def expand(document: Document, around: Around, faults: Faults) -> PipelineFile:
    """The stages of a document. What is wrong goes to *faults*."""
    return _Expansion(document.file, around, faults).run(document)


class _Expansion:
    """One document being expanded."""

    def __init__(self, file: str, around: Around, faults: Faults) -> None:
        self.file = file
        self.folder = os.path.dirname(file)
        self.around = around
        self.faults = faults
        self.notes: list[str] = []
        self.globs: list[str] = []
        self.matched: set[str] = set()
        self.members: dict[str, list[Member]] = {}
        """Each group's, by its name; none where they cannot be formed."""
        self.filled_size = 0
        """Characters that templates have been filled to so far."""

    def fault(self, node: Node, message: str, hint: str | None = None) -> BadInput:
        return BadInput(yaml12.at(node, self.file), message, hint)

    def run(self, document: Document) -> PipelineFile:
        context = Context()
        known = len(self.faults)
        context = self.globals(document)
        if len(self.faults) > known:
            return PipelineFile(self.file)  # variables that are missing would be told everywhere
        stages: dict[str, Stage] = {}
        self.form_groups(document, context)
        for draft in document.stages:
            if self.filled_size > MAX_FILLED:
                break
            with self.faults:
                for stage in self.stages(draft, context):
                    stages[stage.name] = stage
        return PipelineFile(
            path=self.file,
            stages=tuple(stages.values()),
            metrics=self.paths(document.metrics, context),
            plots=tuple(self.freely(document.plots, context)),
            params=self.paths(document.params, context),
            artifacts=tuple(self.freely(document.artifacts, context)),
            datasets=tuple(self.freely(document.datasets, context)),
            groups=tuple(d.draft.name for d in document.stages if isinstance(d, Group)),
            globs=tuple(self.globs),
            matched=tuple(sorted(self.matched)),
            uses=self.uses(context),
            notes=(*document.notes, *self.notes),
        )

    # -- variables -------------------------------------------------------------------------

    def globals(self, document: Document) -> Context:
        """The variables that all stages have: those of the params file beside, and `vars`."""
        context = Context()
        with self.faults:
            if document.vars or document.has_templates:
                path = join(self.folder or ".", PARAMS_FILE)
                values = self.around.params(path)
                if values is not None:
                    context = context.plus_file(path, (), values)
                return self.plus(context, document.vars, self.folder or ".", "vars")
        return context

    def plus(
        self, context: Context, items: Sequence[Text | Data], folder: str, name: str
    ) -> Context:
        for i, item in enumerate(items):
            with self.faults:
                try:
                    if isinstance(item, Data):
                        context = context.plus(item.raw, f"{name}[{i}]")
                        continue
                    path, _, keys = item.raw.partition(":")
                    if not path:
                        raise TemplateError("an empty path")
                    if "\0" in path or not _is_possible(path):
                        raise TemplateError(f"a path that no file system takes: {path[:60]!r}...")
                    path = join(folder, path)
                    if _leaves(path):
                        path = self.around.inside(path)
                        self.check_dep_path(path, item.node)
                    values = self.around.params(path)
                    if values is None:
                        raise TemplateError(f"there is no file {path}")
                    names = tuple(key for key in keys.split(",") if key)
                    context = context.plus_file(path, names, values)
                except TemplateError as error:
                    raise self.fault(item.node, str(error), error.hint) from None
        return context

    def uses(self, context: Context) -> tuple[ParamDep, ...]:
        """The params that templates were filled from, by file; for showing, not for comparing."""
        found: dict[str, list[str]] = {}
        for keys, asked in sorted(context.used.items(), key=lambda item: item[0]):
            source = asked.source(keys)
            if source in asked.loaded:
                found.setdefault(str(source), []).append(".".join(keys))
        return tuple(ParamDep(file, tuple(keys)) for file, keys in found.items())

    # -- groups ----------------------------------------------------------------------------

    def form_groups(self, document: Document, context: Context) -> None:
        """Find the members of every group, before the first stage is made of one."""
        total = 0
        for group in document.stages:
            if not isinstance(group, Group):
                continue
            with self.faults:
                form = self.matrix if group.is_matrix else self.foreach
                members = form(group, context)
                self.check_members(group, members)
                total += len(members)
                if total > MAX_STAGES:
                    raise self.fault(
                        group.over.node,
                        f"more than {MAX_STAGES:,} stages with those from {group.draft.name!r}",
                    )
                self.members[group.draft.name] = members

    def stages(self, draft: Draft | Group, context: Context) -> Iterator[Stage]:
        if isinstance(draft, Draft):
            yield self.stage(draft, draft.name, context)
            return
        group = draft
        if group.draft.name not in self.members:
            return
        members = self.members[group.draft.name]
        hidden = [name for name in (members[0].bound if members else ()) if name in context.data]
        if hidden:
            names = " and ".join(map(repr, hidden))
            many = f"variables {names} are" if len(hidden) > 1 else f"variable {names} is"
            self.notes.append(
                f"{yaml12.at(group.over.node, self.file)}: the {many} hidden by the group's own"
                f" in {group.draft.name!r}"
            )
        if not members:
            self.notes.append(
                f"{yaml12.at(group.over.node, self.file)}: {group.draft.name!r} makes no stages:"
                " there is nothing to make them for"
            )
        known = len(self.faults)
        for member in members:
            name = f"{group.draft.name}@{member.key}"
            yield self.stage(group.draft, name, context.bind(member.bound))
            if len(self.faults) > known:
                return  # the others would say the same

    def check_members(self, group: Group, members: list[Member]) -> None:
        node = group.over.node
        if len(members) > MAX_STAGES:
            raise self.fault(node, f"more than {MAX_STAGES:,} stages from {group.draft.name!r}")
        seen: dict[str, Member] = {}
        for i, member in enumerate(members, 1):
            why = _unfit(member.key)
            if why:
                value = member.bound["item"]
                named = "" if value == member.key else f" ({value!r:.60})"
                raise self.fault(
                    node,
                    f"item {i}{named} of {group.draft.name!r}: {member.key!r} cannot be part of"
                    f" a stage's name: {why}",
                    "a mapping's key can stand for the value",
                )
            other = seen.setdefault(member.key, member)
            if other is not member:
                values = [m.bound["item"] for m in (other, member)]
                both = f"{values[0]!r} and {values[1]!r}" if values[0] != values[1] else "two items"
                raise self.fault(
                    node, f"{both} would both be the stage '{group.draft.name}@{member.key}'"
                )

    def foreach(self, group: Group, context: Context) -> list[Member]:
        over = group.over
        pattern = _glob(over.raw)
        if pattern is not None:
            self.globs.append(group.draft.name)
            return self.files(pattern, over.node)
        values, names = self.filled(over.raw, context, over.node)
        if isinstance(values, dict):
            return [Member(_word(key), {"item": values[key], "key": _word(key)}) for key in values]
        if not isinstance(values, list):
            kind = "nothing" if values is None else f"{values!r:.60}"
            raise self.fault(over.node, f"'foreach' takes a list or a mapping, not {kind}")
        if any(isinstance(value, list | dict) for value in values):
            names = [str(i) for i in range(len(values))]
        return [Member(name, {"item": value}) for name, value in zip(names, values, strict=True)]

    def glob(self, folder: str, pattern: str, node: Node) -> list[str]:
        """The files that match, relative to *folder*, in order of name."""
        what = f"glob({pattern!r}) leads outside the project"
        base = "a pattern is relative to the folder of the dvc.yaml, for a dependency to its wdir"
        if pattern.startswith(("/", "~")):
            raise self.fault(node, what, base)
        if _leaves(path := join(folder, pattern)):
            raise self.leaving(path, node, what, base)
        try:
            return self.around.glob(folder, pattern)
        except TemplateError as error:
            raise self.fault(node, f"glob({pattern!r}): {error}", error.hint) from None

    def files(self, pattern: str, node: Node) -> list[Member]:
        """One member a file; its key is what the pattern's wildcards stand for.

        It is "." where `**/` stands for no folder at all.
        """
        pattern = os.path.normpath(pattern)
        first = re.search(r"[*?\[]", pattern)
        start = first.start() if first else 0
        end = len(re.split(r"[*?\]]", pattern)[-1]) if first else 0
        keys = {
            path[start : len(path) - end] if start + end <= len(path) else ".": path
            for path in self.glob(self.folder or ".", pattern, node)
        }
        return [Member(key, {"item": path, "key": key}) for key, path in keys.items()]

    def matrix(self, group: Group, context: Context) -> list[Member]:
        axes: dict[str, list[tuple[str, Any]]] = {}
        size = 1
        for raw_axis, raw in group.over.raw.items():
            axis = self.text(Text(raw_axis, group.over.node), context)
            values, names = self.filled(raw, context, group.over.node)
            if isinstance(values, dict):
                values, names = list(values), list(values)
            if not isinstance(values, list):
                raise self.fault(
                    group.over.node,
                    f"axis {axis!r} of the matrix must be a list, not {values!r:.60}",
                )
            axes[axis] = [
                (f"{axis}{i}" if isinstance(value, list | dict) else name, value)
                for i, (name, value) in enumerate(zip(names, values, strict=True))
            ]
            size *= len(values)
        if size > MAX_STAGES:
            raise self.fault(
                group.over.node, f"a matrix of {size:,} stages; at most {MAX_STAGES:,}"
            )
        members = []
        for chosen in product(*axes.values()) if axes else ():
            key = "-".join(name for name, _ in chosen)
            item = {axis: value for axis, (_, value) in zip(axes, chosen, strict=True)}
            members.append(Member(key, {"item": item, "key": key}))
        return members

    def filled(self, raw: Any, context: Context, node: Node) -> tuple[Any, list[str]]:
        """A foreach's or an axis's values with templates filled, and a list's items as names.

        DVC names an item that comes from a variable by Python's text for it, `True`, and one that
        is written out by YAML's, `true`.
        """
        if isinstance(raw, str):
            values = self.fill(raw, context, node)
            return values, list(map(str, values)) if isinstance(values, list) else []
        values = self.within(raw, context, node)
        if not isinstance(raw, list):
            return values, []
        names = [_name(item, value) for item, value in zip(raw, values, strict=True)]
        return values, names

    def within(self, raw: Any, context: Context, node: Node) -> Any:
        """Plain data with every template in it filled; lists and mappings may fill one."""
        if isinstance(raw, str):
            return self.fill(raw, context, node)
        if isinstance(raw, list):
            return [self.within(item, context, node) for item in raw]
        if isinstance(raw, dict):
            found = {}
            for key, value in raw.items():
                name = self.fill(key, context, node) if isinstance(key, str) else key
                if isinstance(name, list | dict):
                    raise self.fault(node, f"the key {key!r} must become a text")
                found[name] = self.within(value, context, node)
            return found
        return raw

    def fill(self, raw: str, context: Context, node: Node) -> Any:
        if not template.is_template(raw):
            return raw
        try:
            return context.fill(raw, freely=True)  # by DVC's defaults, whatever its settings
        except TemplateError as error:
            raise self.fault(node, str(error), error.hint) from None

    # -- a stage ---------------------------------------------------------------------------

    def stage(self, draft: Draft, name: str, context: Context) -> Stage:
        wdir = self.wdir(draft.wdir, context)
        if draft.vars:
            context = self.plus(context, draft.vars, wdir, f"{name}.vars")
        meta = self.within(draft.meta.raw, context, draft.meta.node) if draft.meta else None
        if draft.meta and meta is not None:
            needs.of(meta, yaml12.at(draft.meta.node, self.file))
        return Stage(
            name=name,
            file=self.file,
            line=yaml12.line(draft.node),
            cmds=self.commands(draft, context),
            wdir=wdir,
            deps=self.deps(draft, wdir, context),
            params=self.params(draft, wdir, context),
            outs=self.outs(draft, wdir, context),
            frozen=draft.frozen,
            always=draft.always,
            desc=self.text(draft.desc, context, may_be_null=True) if draft.desc else "",
            meta=meta,
        )

    def wdir(self, text: Text | None, context: Context) -> str:
        written = self.text(text, context, may_be_null=True) if text else ""
        if text is None or not written:
            return self.folder or "."
        wdir = self.path(self.folder, text, context)
        if wdir.startswith("/") or _leaves(wdir):
            what = f"'wdir' leads outside the project: {_shown(text.node, wdir)}"
            raise self.leaving(wdir, text.node, what)
        return wdir

    def commands(self, draft: Draft, context: Context) -> tuple[str, ...]:
        """The commands to run in turn: list items as they are, a text by its lines, as DVC does."""
        cmds = []
        for text in draft.cmds:
            with self.faults:
                command = self.text(text, context, in_command=True)
                if "\0" in command:
                    raise self.fault(text.node, "a NUL character in a command")
                lines = [command] if draft.is_list or _is_script(draft) else command.splitlines()
                written = text.raw.splitlines()
                if len(lines) > len(written):
                    filled = (
                        self.text(Text(line, text.node), context, in_command=True)
                        for line in written
                    )
                    lines = [line for each in filled for line in _unbroken(each.splitlines())]
                if any(len(os.fsencode(line)) > MAX_COMMAND for line in lines):
                    message = f"a command of more than {MAX_COMMAND:,} bytes"
                    raise self.fault(text.node, message, FILE_INSTEAD)
                if len(lines) > 1:
                    self.check_lines(draft, text, lines)
                cmds += [line for line in lines if line.strip()]
        return tuple(cmds)

    def check_lines(self, draft: Draft, text: Text, lines: list[str]) -> None:
        """Warn of a text whose lines belong together, since each gets a shell of its own."""
        for line in lines[:-1]:
            if _COMPOUND.search(line):
                self.notes.append(
                    f"{yaml12.at(text.node, self.file)}: every line of 'cmd' is run by a shell of"
                    f" its own, as in DVC, also {line.strip()!r}; to run them as one script give"
                    f" the stage {draft.name!r} 'meta: {{dodo: {{script: true}}}}'"
                )
                return

    def deps(self, draft: Draft, wdir: str, context: Context) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for text in draft.deps:
            with self.faults:
                pattern = _glob(text.raw)
                if pattern is not None:
                    paths = [join(wdir, each) for each in self.glob(wdir, pattern, text.node)]
                    for path in paths:
                        self.check_unicode(path, text.node)
                        self.check_dep_path(path, text.node)
                    self.matched.update(paths)
                    found.update(dict.fromkeys(paths))
                    continue
                path = self.path(wdir, text, context)
                is_dvcs = os.path.basename(path) == "dvc.yaml" or path.endswith(".dvc")
                if is_dvcs and "://" not in path:
                    raise self.fault(text.node, f"{path!r} cannot be a dependency")
                self.check_dep_path(path, text.node)
                found[path] = None
        return tuple(found)

    def check_unicode(self, path: str, node: Node) -> None:
        """Refuse a name that dodo.lock, which is UTF-8, cannot hold."""
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(path).decode(errors="backslashreplace")
            raise self.fault(
                node, f"the name of the file '{shown}' is not UTF-8", "rename it"
            ) from None

    def params(self, draft: Draft, wdir: str, context: Context) -> tuple[ParamDep, ...]:
        """Files with their keys; one entry for the whole file makes the others needless."""
        keys: dict[str, list[str]] = {}
        whole: set[str] = set()
        for entry in draft.params:
            with self.faults:
                file = (
                    self.path(wdir, entry.file, context) if entry.file else join(wdir, PARAMS_FILE)
                )
                if entry.file:
                    self.check_dep_path(file, entry.file.node)
                named = [self.text(key, context) for key in entry.keys]
                keys.setdefault(file, []).extend(named)
                if not named:
                    whole.add(file)
        return tuple(
            ParamDep(file, () if file in whole else tuple(dict.fromkeys(named)))
            for file, named in keys.items()
        )

    def check_dep_path(self, path: str, node: Node) -> None:
        """Raises: BadInput: no snapshot holds it, so a queued experiment would not find it."""
        if "://" in path or path.startswith("/"):
            return
        if _leaves(path):
            what = f"{_shown(node, path)} lies outside the project"
            raise self.leaving(path, node, what, ABSOLUTE)
        if is_reserved(path):
            raise self.fault(
                node,
                f"{_shown(node, path)} cannot be a dependency: it is part of no experiment",
                "depend on the files themselves; 'always_changed: true' runs a stage every time",
            )

    # -- outputs ---------------------------------------------------------------------------

    def outs(self, draft: Draft, wdir: str, context: Context) -> tuple[Out, ...]:
        """Outputs by path; one that is named again the same way adds its options, as in DVC."""
        found: dict[str, Out] = {}
        spelled: dict[tuple[str, str], OutDraft] = {}
        for out in draft.outs:
            with self.faults:
                text = self.text(out.path, context)
                known = spelled.get((out.role, text))
                if known is not None:
                    out = out._replace(
                        options=known.options | out.options, plot=known.plot | out.plot
                    )
                path = self.path(wdir, out.path, context)
                if path in found and known is None:
                    raise self.fault(out.path.node, f"output {path!r} is named more than once")
                spelled[out.role, text] = out
                found[path] = self.out(out, path, context)
        return tuple(found.values())

    def out(self, out: OutDraft, path: str, context: Context) -> Out:
        cache = out.options.get("cache", True)
        self.check_out_path(path, out.path.node, cache)
        plot = {
            key: self.text(value, context) if isinstance(value, Text) else value
            for key, value in out.plot.items()
        }
        return Out(
            path=path,
            role=out.role,
            cache=cache,
            persist=out.options.get("persist", False),
            checkpoint=out.options.get("checkpoint", False),
            plot=plot,
        )

    def check_out_path(self, path: str, node: Node, cache: bool) -> None:
        shown = _shown(node, path)
        if "://" in path:
            raise self.fault(node, f"output {shown} is not a path: outputs are files and folders")
        if path.startswith("/") or _leaves(path):
            if cache:
                what = f"output {shown} lies outside the project"
                raise self.leaving(path, node, what, WATCHED)
            return
        if path.startswith("~") or re.match(r"[A-Za-z]:[\\/]|\\\\", path):
            raise self.fault(
                node, f"output {shown}: '~', drives and shares are not read, paths are relative"
            )
        if path == "." or is_reserved(path) or not PROTECTED_FOLDERS.isdisjoint(path.split("/")):
            raise self.fault(node, f"output {shown} is a protected path")
        if os.path.basename(path) in PROTECTED_FILES or path.endswith(".dvc"):
            raise self.fault(node, f"output {shown} is a protected path")

    # -- texts -----------------------------------------------------------------------------

    def text(
        self, text: Text, context: Context, *, in_command: bool = False, may_be_null: bool = False
    ) -> str:
        """A text with its templates filled; a number or a flag that fills one becomes its text."""
        if not template.is_template(text.raw):
            return text.raw
        arguments = self.around.arguments() if in_command else None
        try:
            value = context.fill(text.raw, in_command=in_command, arguments=arguments)
        except TemplateError as error:
            raise self.fault(text.node, str(error), error.hint) from None
        if value is None and may_be_null:
            return ""
        if value is None:
            raise self.fault(text.node, f"{text.raw} is null, which cannot stand here")
        filled = value if isinstance(value, str) else template.in_text(value, Arguments())
        self.filled_size += len(filled)
        if self.filled_size > MAX_FILLED:
            raise self.fault(
                text.node, f"templates of this file make more than {MAX_FILLED >> 20} MiB of text"
            )
        return filled

    def path(self, folder: str, text: Text, context: Context) -> str:
        """A path as written, relative to *folder*, as one relative to the project's root."""
        path = self.text(text, context)
        if not path:
            raise self.fault(text.node, "an empty path")
        if len(path) > 60 and not _is_possible(path):
            raise self.fault(text.node, f"a path that no file system takes: {path[:60]!r}...")
        if "\0" in path:
            raise self.fault(text.node, f"a NUL character in a path: {path!r}")
        if "://" in path:
            return path
        path = join(folder, path)
        return self.around.inside(path) if path.startswith("/") or _leaves(path) else path

    def leaving(self, path: str, node: Node, what: str, outside: str = "") -> LeavesRoot:
        """The fault of a path that leads outside the project."""
        return LeavesRoot(yaml12.at(node, self.file), what, self.around.full(path), outside)

    def paths(self, texts: Sequence[Text], context: Context) -> tuple[str, ...]:
        found = []
        for text in texts:
            with self.faults:
                path = self.path(self.folder, text, context)
                self.check_dep_path(path, text.node)
                found.append(path)
        return tuple(found)

    def freely(self, items: Sequence[Data], context: Context) -> Iterator[Any]:
        for item in items:
            with self.faults:
                yield self.within(item.raw, context, item.node)


_COMPOUND = pattern(
    r"\\$|<<-?\s*['\"]?\w|^\s*(?:for|while|until|if|case|select|function|then|do|else|elif|fi|done"
    r"|esac|\{|\})\b|\(\)\s*\{|^\s*(?:cd|export|source|\.)\s"
)


def _unbroken(lines: list[str]) -> list[str]:
    """Lines that templates have made of one, joined where a line break is inside quotes."""
    found: list[str] = []
    quote = ""
    for line in lines:
        if quote:
            found[-1] += f"\n{line}"
        else:
            found.append(line)
        is_escaped, before = False, " "
        for char in line:
            if char == "#" and not quote and before.isspace():
                break
            if is_escaped:
                is_escaped = False
            elif char == "\\" and quote != "'":
                is_escaped = True
            elif char in ("'", '"') and quote in ("", char):
                quote = "" if quote else char
            before = char
    return lines if quote else found


def _shown(node: Node, path: str) -> str:
    """A path for a message: as written, or what its template came to."""
    return repr(path if template.is_template(node.value) else node.value)


def _leaves(path: str) -> bool:
    """Whether a path that is relative to the root leads out of it."""
    return path == ".." or path.startswith("../")


def _is_script(draft: Draft) -> bool:
    """Whether the stage asks for its text to be one script: `meta: {dodo: {script: true}}`."""
    meta = draft.meta.raw if draft.meta else None
    ours = meta.get("dodo") if isinstance(meta, dict) else None
    return isinstance(ours, dict) and ours.get("script") is True


def _glob(raw: Any) -> str | None:
    """The pattern, if *raw* is nothing but `${glob("pattern")}`."""
    if not isinstance(raw, str) or "glob(" not in raw:
        return None
    first, *more = template.parse(raw).pieces
    return first.pattern if isinstance(first, template.Glob) and not more else None


def _unfit(key: str) -> str:
    """Why a key cannot be part of a stage's name, "" if it can."""
    if not key:
        return "it is empty"
    if "@" in key:
        return "there is an '@' in it"
    return "" if key.isprintable() else "there is a control character in it"


def _is_possible(path: str) -> bool:
    """Whether any file system takes a path so long."""
    return len(path) <= 4000 and all(len(os.fsencode(part)) <= 255 for part in path.split("/"))


def _name(raw: Any, value: Any) -> str:
    """An item of a list as a name; one that is a list or a mapping gets its name elsewhere."""
    if isinstance(value, list | dict):
        return ""
    return str(value) if isinstance(raw, str) else _word(value)


def _word(value: Any) -> str:
    return template.in_text(value, Arguments())


@lru_cache(maxsize=50_000)
def join(folder: str, path: str) -> str:
    """Join and tidy, by text alone: `./a`, `b/../a` and `a/` are all `a`."""
    joined = os.path.normpath(os.path.join(folder, path))
    return "/" + joined.lstrip("/") if joined.startswith("/") else joined
