"""dvc.yaml -> drafts: what the file says, checked key by key, with its templates not yet filled.

DVC checks the file as written, before templating, and so do we: `frozen: ${x}` is a fault,
`foreach: ${x}` is not. Every fault carries its own line and column, and all are told at once.

Schema: https://dvc.org/doc/user-guide/project-structure/dvcyaml-files
"""

from __future__ import annotations

import re
from functools import partial

from dodo_exp.errors import BadInput, did_you_mean
from dodo_exp.pipeline import template, yaml12
from dodo_exp.pipeline.model import METRIC, OUT, PLOT
from dodo_exp.pipeline.pyyaml import MappingNode, Node, ScalarNode, SequenceNode
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from dodo_exp.errors import Faults

TOP = "stages vars params metrics plots artifacts datasets".split()
STAGE = "cmd wdir deps params outs metrics plots frozen always_changed desc meta vars".split()
OUT_KEYS = "cache persist checkpoint remote push desc type labels meta".split()
PLOT_KEYS = "template x y x_label y_label title header".split()
TOP_PLOT_KEYS = "template x y x_label y_label title".split()
ARTIFACT = "path desc type labels meta".split()
GROUP = ("foreach", "do")
FLAGS = ("cache", "persist", "checkpoint", "push", "header")
GONE = {"live": "DVC 3 has it no more: name what DVCLive writes under 'metrics' and 'plots'"}
"""Keys of earlier versions of DVC's, and what to write today."""
MAX_NAME = 10_000
"""Characters of a stage's name: it goes to its commands, which Linux limits to 128 KiB a word."""


class Text(Named):
    """A text as written, templates and all, and where."""

    raw: str
    node: Node


class Data(Named):
    """A value of any shape as written, and where."""

    raw: Any
    node: Node


class OutDraft(Named):
    """An output: `options` are cache, persist, ...; `plot` how it is drawn."""

    path: Text
    role: str
    options: dict[str, Any]
    plot: dict[str, Any]


class ParamsDraft(Named):
    """Params of one file, the default one if None; no keys are the whole file."""

    file: Text | None
    keys: tuple[Text, ...]


class Draft(Named):
    """A stage as written."""

    name: str
    node: Node
    cmds: tuple[Text, ...]
    is_list: bool
    wdir: Text | None
    deps: tuple[Text, ...]
    params: tuple[ParamsDraft, ...]
    outs: tuple[OutDraft, ...]
    frozen: bool
    always: bool
    desc: Text | None
    meta: Data | None
    vars: tuple[Text | Data, ...]


class Group(Named):
    """Stages made from one draft: *over* the values of a foreach, or the axes of a matrix."""

    draft: Draft
    over: Data
    is_matrix: bool


class Document(Named):
    """A whole dvc.yaml as written."""

    file: str
    stages: tuple[Draft | Group, ...]
    vars: tuple[Text | Data, ...]
    metrics: tuple[Text, ...]
    params: tuple[Text, ...]
    plots: tuple[Data, ...]
    artifacts: tuple[Data, ...]
    datasets: tuple[Data, ...]
    has_templates: bool
    notes: tuple[str, ...]


def parse(text: str, file: str, faults: Faults) -> Document:
    """Read one dvc.yaml, whose path relative to the project's root is *file*.

    What is wrong goes to *faults*; what is right is in the result all the same.

    Raises:
        BadInput: not YAML at all, or no mapping.
    """
    root = yaml12.compose(text, file)
    if "!" in text:
        yaml12.check_tags(root, file)
    document = _Reader(file, faults).read(root)
    return document._replace(has_templates="${" in text)


class _Reader:
    """One file being read."""

    def __init__(self, file: str, faults: Faults) -> None:
        self.file = file
        self.faults = faults
        self.notes: list[str] = []

    def fault(self, node: Node, message: str, hint: str | None = None) -> BadInput:
        return BadInput(yaml12.at(node, self.file), message, hint)

    def note(self, node: Node, message: str) -> None:
        self.notes.append(f"{yaml12.at(node, self.file)}: {message}")

    def read(self, root: Node | None) -> Document:
        top: dict[str, Node] = {}
        if root is not None and not yaml12.is_null(root):
            top = self.mapping(root, "dvc.yaml", TOP, extra="x-")

        def each(key: str, read: Callable[[Node], Any]) -> tuple[Any, ...]:
            return self.each(top.get(key), key, read)

        stages = []
        for name, key, value in self.entries(top.get("stages"), "stages", may_be_null=True):
            with self.faults:
                stages.append(self.stage(name, key, value))
        return Document(
            self.file,
            tuple(stages),
            vars=each("vars", self.var),
            metrics=each("metrics", self.text_of("an item of 'metrics'")),
            params=each("params", self.text_of("an item of 'params'")),
            plots=each("plots", self.top_plot),
            artifacts=tuple(self.artifacts(top.get("artifacts"))),
            datasets=each("datasets", self.dataset),
            has_templates=True,
            notes=tuple(self.notes),
        )

    # -- beside the stages -----------------------------------------------------------------

    def var(self, node: Node) -> Text | Data:
        if isinstance(node, MappingNode):
            value = self.plain(node, no_templates="'vars'")
            return Data(value, node)
        text = self.text(node, "an item of 'vars'")
        if template.has_variable(text.raw):
            raise self.fault(node, "'vars' may not hold templates")
        return text

    def top_plot(self, node: Node) -> Data:
        if isinstance(node, ScalarNode):
            return Data(self.text(node, "an item of 'plots'").raw, node)
        for _, key, value in self.entries(node, "an item of 'plots'"):
            self.text(key, "a plot's name")
            if yaml12.is_null(value):
                continue
            for name, inner in self.mapping(value, "a plot", TOP_PLOT_KEYS).items():
                with self.faults:
                    self.check_plot_option(name, inner)
        return Data(self.plain(node), node)

    def check_plot_option(self, name: str, node: Node) -> None:
        """x: text or {file: field}; y: besides, lists of fields; the rest text."""
        if isinstance(node, ScalarNode) or name not in ("x", "y"):
            self.text(node, name)
            return
        if isinstance(node, SequenceNode) and name == "x":
            raise self.fault(node, "'x' must be text or a mapping of a file to a field")
        nodes = node.value if isinstance(node, SequenceNode) else []
        for _, key, value in self.entries(node, name) if isinstance(node, MappingNode) else []:
            self.text(key, "a file's name")
            nodes += value.value if isinstance(value, SequenceNode) and name == "y" else [value]
        for each in nodes:
            self.text(each, f"a field of {name!r}")

    def artifacts(self, node: Node | None) -> list[Data]:
        found = []
        for _, key, value in self.entries(node, "artifacts"):
            with self.faults:
                self.text(key, "an artifact's name")
                given = self.mapping(value, "an artifact", ARTIFACT)
                if "path" not in given:
                    raise self.fault(key, f"artifact {key.value!r} has no 'path'")
                self.annotations(given)
                self.text(given["path"], "path")
                found.append(Data({key.value: self.plain(value)}, key))
        return found

    def dataset(self, node: Node) -> Data:
        given = {str(name): value for name, _, value in self.entries(node, "an item of 'datasets'")}
        for key in ("name", "type"):
            if key not in given:
                raise self.fault(node, f"a dataset has no {key!r}")
            self.text(given[key], key)
        return Data(self.plain(node), node)

    def annotations(self, given: dict[str, Node]) -> None:
        for key in ("desc", "type"):
            if key in given:
                self.text(given[key], key)
        self.each(given.get("labels"), "labels", self.text_of("a label"))

    # -- a stage ---------------------------------------------------------------------------

    def stage(self, name: Any, key: Node, node: Node) -> Draft | Group:
        self.check_name(name, key)
        keys = {k for k, _, _ in self.entries(node, f"stage {name!r}")}
        if not keys & set(GROUP):
            known = [*STAGE, "matrix"]
            given = self.mapping(node, f"stage {name!r}", known, beside=GROUP)
            if "matrix" not in given:
                return self.draft(name, key, given)
            over = given.pop("matrix")
            return Group(self.draft(name, key, given), self.axes(over), True)
        given = self.mapping(node, f"stage {name!r}", GROUP, beside=(*STAGE, "matrix"))
        for missing, there in (GROUP, GROUP[::-1]):
            if missing not in given:
                raise self.fault(key, f"stage {name!r} has no {missing!r} to its {there!r}")
        over = given["foreach"]
        if isinstance(over, ScalarNode) and not template.is_template(over.value):
            raise self.fault(over, f"'foreach' takes a list or a mapping, not {over.value!r}")
        inner = self.mapping(given["do"], f"'do' of stage {name!r}", [*STAGE, "matrix"])
        if "matrix" in inner:
            self.note(inner.pop("matrix"), "'matrix' has no effect inside 'do', as in DVC")
        return Group(self.draft(name, key, inner), Data(self.plain(over), over), False)

    def axes(self, node: Node) -> Data:
        """A matrix's axes: lists, or texts that a template makes lists of."""
        axes = {}
        for name, key, value in self.entries(node, "matrix"):
            with self.faults:
                self.text(key, "an axis of 'matrix'")
                values = self.plain(value)
                if not isinstance(values, list):
                    self.text(value, f"matrix.{name}", "a list")
                    if not template.is_template(values):
                        raise self.fault(
                            value, f"axis {name!r} of the matrix must be a list, not {values!r}"
                        )
                axes[name] = values
        return Data(axes, node)

    def draft(self, name: str, key: Node, given: dict[str, Node]) -> Draft:
        if "cmd" not in given:
            raise self.fault(key, f"stage {name!r} has no 'cmd'")

        def one(key: str, read: Callable[[Node], Any], default: Any = None) -> Any:
            with self.faults:
                return read(given[key]) if key in given else default
            return default

        return Draft(
            name=name,
            node=key,
            cmds=one("cmd", lambda node: self.commands(node, name), ()),
            is_list=isinstance(given["cmd"], SequenceNode),
            wdir=one("wdir", self.text_of("wdir")),
            deps=self.each(given.get("deps"), "deps", self.text_of("an item of 'deps'")),
            params=sum(self.each(given.get("params"), "params", self.params), ()),
            outs=tuple(self.outs(given)),
            frozen=one("frozen", lambda node: self.flag(node, "frozen"), False),
            always=one("always_changed", lambda node: self.flag(node, "always_changed"), False),
            desc=one("desc", self.text_of("desc")),
            meta=one("meta", lambda node: Data(self.plain(node), node)),
            vars=self.each(given.get("vars"), "vars", self.var),
        )

    def check_name(self, name: Any, key: Node) -> None:
        if not isinstance(name, str) or not name:
            raise self.fault(key, f"a stage name must be a word, not {name!r}")
        if not name.isprintable() or "@" in name:
            raise self.fault(
                key, f"not a stage name: {name!r}", "anything but '@' and control characters"
            )
        if name != name.strip():
            self.note(key, f"the stage name {name!r} begins or ends with a space")
        if len(name) > MAX_NAME:
            raise self.fault(key, f"a stage name of {len(name)} characters; at most {MAX_NAME}")

    def commands(self, node: Node, name: str) -> tuple[Text, ...]:
        if isinstance(node, SequenceNode):
            cmds = self.each(node, "cmd", self.text_of("an item of 'cmd'"))
            if len(cmds) < len(node.value):
                return cmds
        else:
            cmds = (self.text(node, "cmd"),)
        if not any(cmd.raw.strip() for cmd in cmds):
            raise self.fault(node, f"stage {name!r} has an empty 'cmd'")
        return cmds

    def params(self, node: Node) -> tuple[ParamsDraft, ...]:
        if isinstance(node, ScalarNode):
            return (ParamsDraft(None, (self.text(node, "an item of 'params'"),)),)
        return tuple(
            ParamsDraft(self.text(key, "a params file's name"), self.param_keys(key, value))
            for _, key, value in self.entries(node, "an item of 'params'")
        )

    def param_keys(self, file: Node, node: Node) -> tuple[Text, ...]:
        if not yaml12.construct(node, self.file):
            return ()
        if not isinstance(node, SequenceNode):
            raise self.fault(node, f"the params of {file.value!r} must be a list of keys")
        return self.each(node, "params", self.text_of("a params key"))

    # -- outputs ---------------------------------------------------------------------------

    def outs(self, given: dict[str, Node]) -> list[OutDraft]:
        found: list[OutDraft] = []
        for key, role in (("outs", OUT), ("metrics", METRIC), ("plots", PLOT)):
            for made in self.each(given.get(key), key, partial(self.out, role=role)):
                found += made
        return found

    def out(self, node: Node, role: str) -> list[OutDraft]:
        if isinstance(node, ScalarNode):
            return [OutDraft(self.text(node, "an output's path"), role, {}, {})]
        made = []
        for _, key, value in self.entries(node, f"an item of '{role}s'"):
            with self.faults:
                path = self.text(key, "an output's path")
                if yaml12.is_null(value):
                    raise self.fault(
                        value, f"output {path.raw!r} has no options", "leave out the ':' after it"
                    )
                known = [*OUT_KEYS, *PLOT_KEYS] if role == PLOT else OUT_KEYS
                options = self.mapping(value, f"output {path.raw!r}", known)
                made.append(self.out_with(path, role, options))
        return made

    def out_with(self, path: Text, role: str, given: dict[str, Node]) -> OutDraft:
        options: dict[str, Any] = {}
        plot: dict[str, Any] = {}
        for key, node in given.items():
            with self.faults:
                if key in FLAGS:
                    (plot if key == "header" else options)[key] = self.flag(node, key)
                elif key in PLOT_KEYS:
                    plot[key] = self.text(node, key)
                elif key == "remote":
                    self.text(node, key)
        self.annotations(given)
        return OutDraft(path, role, options, plot)

    # -- shapes ----------------------------------------------------------------------------

    def text_of(self, what: str) -> Callable[[Node], Text]:
        return lambda node: self.text(node, what)

    def text(self, node: Node, what: str, wanted: str = "text") -> Text:
        """A text; what is wrong inside its templates is told here, once for a whole group."""
        value = yaml12.construct(node, self.file) if isinstance(node, ScalarNode) else node
        if not isinstance(value, str):
            shown = {"list": "a list", "map": "a mapping"}.get(node.tag, repr(node.value))
            if node.value == "":
                shown = "empty"
            hint = (
                None if isinstance(value, Node) or shown == "empty" else f'quote it: "{node.value}"'
            )
            raise self.fault(node, f"{_quoted(what)} must be {wanted}, not {shown}", hint)
        if template.is_template(value):
            try:
                template.parse(value)
            except template.TemplateError as error:
                raise self.fault(node, str(error), error.hint) from None
        return Text(value, node)

    def plain(self, node: Node, no_templates: str | None = None) -> Any:
        """Any value. Its texts may hold templates, which are then well formed."""
        if isinstance(node, ScalarNode):
            value = yaml12.construct(node, self.file)
            if isinstance(value, str) and template.is_template(value):
                if no_templates and template.has_variable(value):
                    raise self.fault(node, f"{no_templates} may not hold templates")
                self.text(node, "a value")
            return value
        if isinstance(node, SequenceNode):
            return [self.plain(inner, no_templates) for inner in node.value]
        value = {}
        for key, key_node, inner in self.entries(node, "a value"):
            if isinstance(key, str):
                self.plain(key_node, no_templates)
            value[key] = self.plain(inner, no_templates)
        return value

    def flag(self, node: Node | None, what: str) -> bool:
        if node is None:
            return False
        value = yaml12.construct(node, self.file)
        if not isinstance(value, bool):
            hint = "templates are not read here" if template.is_template(str(value)) else None
            if value in ("yes", "on", "no", "off"):
                hint = f"write {str(value in ('yes', 'on')).lower()}: in YAML 1.2 {value!r} is text"
            raise self.fault(node, f"{what!r} must be true or false, not {value!r}", hint)
        return value

    def each(self, node: Node | None, what: str, read: Callable[[Node], Any]) -> tuple[Any, ...]:
        """The items of a list, those that can be read."""
        if node is None:
            return ()
        found = []
        with self.faults:
            if not isinstance(node, SequenceNode):
                raise self.fault(node, f"{what!r} must be a list", "begin each item with '- '")
            for item in node.value:
                with self.faults:
                    found.append(read(item))
        return tuple(found)

    def entries(
        self, node: Node | None, what: str, may_be_null: bool = False
    ) -> list[tuple[Any, Node, Node]]:
        if node is None or (may_be_null and yaml12.is_null(node)):
            return []
        if not isinstance(node, MappingNode):
            raise self.fault(node, f"{_quoted(what)} must be a mapping", "write 'key: value'")
        return yaml12.pairs(node, self.file)

    def mapping(
        self,
        node: Node,
        what: str,
        known: Sequence[str],
        *,
        beside: Sequence[str] = (),
        extra: str | None = None,
    ) -> dict[str, Node]:
        """A mapping's entries by key; unknown keys are faults, but for those that begin *extra*.

        Keys in *beside* are known, but not together with the others.
        """
        given: dict[str, Node] = {}
        for name, key, value in self.entries(node, what):
            if name in known:
                given[name] = value
            elif extra is None or not str(name).startswith(extra):
                if name in beside:
                    error = self.fault(key, f"{name!r} cannot stand beside the others in {what}")
                else:
                    hint = GONE.get(name) or did_you_mean(str(name), known)
                    error = self.fault(key, f"unknown key {name!r} in {what}", hint)
                self.faults.add(error)
        return given


def _quoted(what: str) -> str:
    return what if re.search("[ .]", what) else repr(what)
