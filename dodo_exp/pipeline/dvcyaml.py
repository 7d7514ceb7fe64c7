"""dvc.yaml -> stages. What the file says is checked here, key by key, with the line of each fault.

Schema: https://dvc.org/doc/user-guide/project-structure/dvcyaml-files
"""

from __future__ import annotations

import os
import re
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dodo_exp.errors import BadInput, Location, did_you_mean
from dodo_exp.pipeline import yaml12
from dodo_exp.pipeline.model import (
    METRIC,
    OUT,
    PARAMS_FILE,
    PLOT,
    Out,
    ParamDep,
    PipelineFile,
    Stage,
)

TOP = ("stages", "params", "metrics", "plots", "artifacts")
STAGE = "cmd wdir deps params outs metrics plots frozen always_changed desc meta".split()
OUT_KEYS = "cache persist checkpoint remote push desc type labels meta".split()
PLOT_KEYS = [*OUT_KEYS, *"template x y x_label y_label title header".split()]
PROTECTED_FILES = (
    *("dvc.yaml", "dvc.lock", "dodo.lock", "params.yaml", "dodo.py"),
    *(".dvcignore", ".gitignore", ".dodoignore"),
)
PROTECTED_FOLDERS = (".dodo", ".git", ".dvc", ".hg", ".svn")
LATER = {
    "vars": "templating is",
    "datasets": "datasets are",
    "foreach": "foreach stages are",
    "do": "foreach stages are",
    "matrix": "matrix stages are",
}
"""Keys of DVC's that this version does not run; named rather than passed over."""

_TEMPLATE = re.compile(r"(?<!\\)\$\{.*?\}")


def parse(text: str, file: str) -> PipelineFile:
    """Read one dvc.yaml, whose path relative to the project's root is *file*.

    Raises:
        BadInput: anything that DVC would refuse, and what this version does not run yet.
    """
    return _Reader(file).read(yaml12.compose(text, file))


class _Reader:
    """One file being read; holds the file's name for messages and its folder for paths."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.folder = os.path.dirname(file)

    def fault(self, node: Node, message: str, hint: str | None = None) -> BadInput:
        return BadInput(Location(self.file, yaml12.line(node)), message, hint)

    def read(self, root: Node | None) -> PipelineFile:
        if root is None or (isinstance(root, ScalarNode) and root.value in ("", "~", "null")):
            return PipelineFile(self.file, (), (), (), ())
        top = self.mapping(root, "dvc.yaml", TOP)
        stages = tuple(
            self.stage(name, key, value)
            for name, key, value in self.pairs(top.get("stages"), "stages")
        )
        return PipelineFile(
            self.file,
            stages,
            tuple(self.path(self.folder, n) for n in self.items(top.get("metrics"), "metrics")),
            self.top_plots(top.get("plots")),
            tuple(self.path(self.folder, n) for n in self.items(top.get("params"), "params")),
        )

    def top_plots(self, node: Node | None) -> tuple[Any, ...]:
        if node is None:
            return ()
        value = self.plain(node)
        if not isinstance(value, list):
            raise self.fault(node, "'plots' must be a list")
        if not all(isinstance(each, str | dict) for each in value):
            raise self.fault(node, "an item of 'plots' must be a path or a mapping")
        return tuple(value)

    # -- a stage ---------------------------------------------------------------------------

    def stage(self, name: Any, key: Node, node: Node) -> Stage:
        self.check_name(name, key)
        given = self.mapping(node, f"stage {name!r}", STAGE)
        if "cmd" not in given:
            raise self.fault(key, f"stage {name!r} has no 'cmd'")
        wdir = self.wdir(given.get("wdir"))
        return Stage(
            name=name,
            file=self.file,
            line=yaml12.line(key),
            cmds=self.commands(given["cmd"], name),
            wdir=wdir,
            deps=self.deps(given.get("deps"), wdir),
            params=self.params(given.get("params"), wdir),
            outs=self.all_outs(given, wdir),
            frozen=self.flag(given.get("frozen"), "frozen"),
            always=self.flag(given.get("always_changed"), "always_changed"),
            desc=self.string(given["desc"], "desc") if "desc" in given else "",
            meta=self.plain(given["meta"]) if "meta" in given else None,
        )

    def check_name(self, name: Any, key: Node) -> None:
        if not isinstance(name, str) or not name:
            raise self.fault(key, f"a stage name must be a word, not {name!r}")
        if not name.isprintable() or any(char in name for char in "/\\:@") or name[0] in "-.":
            raise self.fault(
                key,
                f"not a stage name: {name!r}",
                r"letters, digits, '_', '-', '.'; not '/', '\', ':', '@'; not '-' or '.' first",
            )
        if len(name) > 200:
            raise self.fault(key, f"a stage name of {len(name)} characters; at most 200")

    def commands(self, node: Node, name: str) -> tuple[str, ...]:
        """The commands to run in turn: list items as they are, a text by its lines, as DVC does."""
        if isinstance(node, SequenceNode):
            cmds = [self.string(item, "an item of 'cmd'") for item in node.value]
        else:
            cmds = self.string(node, "cmd").splitlines()
        cmds = [cmd for cmd in cmds if cmd.strip()]
        if not cmds:
            raise self.fault(node, f"stage {name!r} has an empty 'cmd'")
        return tuple(cmds)

    def wdir(self, node: Node | None) -> str:
        if node is None:
            return self.folder or "."
        wdir = self.path(self.folder, node)
        if wdir.startswith("/") or wdir.split("/")[0] == "..":
            raise self.fault(node, f"'wdir' leads outside the project: {node.value!r}")
        return wdir

    def deps(self, node: Node | None, wdir: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for item in self.items(node, "deps"):
            if "://" in self.string(item, "an item of 'deps'"):
                raise self.fault(item, f"remote dependencies are not read yet: {item.value!r}")
            path = self.path(wdir, item)
            if os.path.basename(path) == "dvc.yaml" or path.endswith(".dvc"):
                raise self.fault(item, f"{item.value!r} cannot be a dependency")
            found[path] = None
        return tuple(found)

    def params(self, node: Node | None, wdir: str) -> tuple[ParamDep, ...]:
        keys: dict[str, list[str]] = {}
        whole: set[str] = set()
        default = _join(wdir, PARAMS_FILE)
        for item in self.items(node, "params"):
            if isinstance(item, ScalarNode):
                keys.setdefault(default, []).append(str(self.string(item, "an item of 'params'")))
                continue
            for file, key, value in self.pairs(item, "params"):
                path = self.path(wdir, key)
                self.check_params_format(path, key)
                named = self.param_keys(file, value)
                keys.setdefault(path, []).extend(named)
                if not named:
                    whole.add(path)
        return tuple(
            ParamDep(path, () if path in whole else tuple(dict.fromkeys(named)))
            for path, named in keys.items()
        )

    def param_keys(self, file: str, node: Node) -> list[str]:
        value = yaml12.construct(node, self.file)
        if value in (None, {}, []):
            return []
        if not isinstance(value, list):
            raise self.fault(node, f"the params of {file!r} must be a list of keys")
        for key, inner in zip(value, node.value, strict=True):
            if not isinstance(key, str):
                raise self.fault(inner, f"a params key must be a word, not {key!r}")
            self.string(inner, "a params key")
        return value

    def check_params_format(self, path: str, key: Node) -> None:
        suffix = os.path.splitext(path)[1]
        if suffix in (".toml", ".json", ".py"):
            raise self.fault(key, f"params files in {suffix[1:]} are not read yet: {path!r}")

    # -- outputs ---------------------------------------------------------------------------

    def all_outs(self, given: dict[str, Node], wdir: str) -> tuple[Out, ...]:
        found: dict[str, Out] = {}
        for key, role in (("outs", OUT), ("metrics", METRIC), ("plots", PLOT)):
            for out in self.outs(given.get(key), wdir, role):
                if out.path in found:
                    raise self.fault(given[key], f"output {out.path!r} is named more than once")
                found[out.path] = out
        return tuple(found.values())

    def outs(self, node: Node | None, wdir: str, role: str) -> list[Out]:
        found: dict[str, Out] = {}
        for item in self.items(node, f"{role}s"):
            if isinstance(item, ScalarNode):
                made = [self.out(item, None, wdir, role)]
            else:
                made = [self.out(k, v, wdir, role) for _, k, v in self.pairs(item, f"{role}s")]
            found.update((out.path, out) for out in made)
        return list(found.values())

    def out(self, key: Node, options: Node | None, wdir: str, role: str) -> Out:
        path = self.path(wdir, key)
        known = PLOT_KEYS if role == PLOT else OUT_KEYS
        given = {} if options is None else self.mapping(options, f"output {path!r}", known)
        cache = self.flag(given.get("cache"), "cache", default=True)
        self.check_out_path(path, key, cache)
        return Out(
            path=path,
            role=role,
            cache=cache,
            persist=self.flag(given.get("persist"), "persist"),
            checkpoint=self.flag(given.get("checkpoint"), "checkpoint"),
            plot={name: self.plain(v) for name, v in given.items() if name not in OUT_KEYS},
        )

    def check_out_path(self, path: str, node: Node, cache: bool) -> None:
        if path.startswith("/") or path.split("/")[0] == "..":
            if cache:
                raise self.fault(
                    node,
                    f"output {node.value!r} lies outside the project",
                    "outputs outside are only watched, never kept: give it 'cache: false'",
                )
            return
        if path.startswith("~") or re.match(r"[A-Za-z]:[\\/]", path):
            raise self.fault(
                node, f"output {node.value!r}: '~' and drives are not read, paths are relative"
            )
        if path == "." or path.split("/")[0] in PROTECTED_FOLDERS:
            raise self.fault(node, f"output {node.value!r} is a protected path")
        if os.path.basename(path) in PROTECTED_FILES or path.endswith(".dvc"):
            raise self.fault(node, f"output {node.value!r} is a protected path")

    def plain(self, node: Node) -> Any:
        """Any value, as long as there is no template in it."""
        value = yaml12.construct(node, self.file)
        todo = [value]
        while todo:
            each = todo.pop()
            if isinstance(each, str) and _TEMPLATE.search(each):
                raise self.fault(node, f"templating is not run yet: {each!r}")
            if isinstance(each, dict):
                todo += [*each, *each.values()]
            elif isinstance(each, list):
                todo += each
        return value

    # -- shapes ----------------------------------------------------------------------------

    def path(self, folder: str, node: Node) -> str:
        """A path as written, relative to *folder*, as one relative to the project's root."""
        text = self.string(node, "a path")
        if not text:
            raise self.fault(node, "an empty path")
        if len(text) > 4000 or any(len(os.fsencode(part)) > 255 for part in text.split("/")):
            raise self.fault(node, f"a path that no file system takes: {text[:60]!r}...")
        return _join(folder, text)

    def string(self, node: Node, what: str) -> str:
        value = yaml12.construct(node, self.file) if isinstance(node, ScalarNode) else node
        if not isinstance(value, str):
            shown = {"list": "a list", "map": "a mapping"}.get(node.tag, repr(node.value))
            raise self.fault(node, f"{_quoted(what)} must be text, not {shown}")
        if _TEMPLATE.search(value):
            raise self.fault(node, f"templating is not run yet: {value!r}")
        return value.replace("\\${", "${")

    def flag(self, node: Node | None, what: str, default: bool = False) -> bool:
        if node is None:
            return default
        value = yaml12.construct(node, self.file)
        if not isinstance(value, bool):
            raise self.fault(node, f"{what!r} must be true or false, not {value!r}")
        return value

    def items(self, node: Node | None, what: str) -> list[Node]:
        if node is None:
            return []
        if not isinstance(node, SequenceNode):
            raise self.fault(node, f"{what!r} must be a list", "begin each item with '- '")
        return list(node.value)

    def pairs(self, node: Node | None, what: str) -> list[tuple[Any, Node, Node]]:
        if node is None or (isinstance(node, ScalarNode) and node.value in ("", "~", "null")):
            return []
        if not isinstance(node, MappingNode):
            raise self.fault(node, f"{what!r} must be a mapping")
        return yaml12.pairs(node, self.file)

    def mapping(self, node: Node, what: str, known: tuple[str, ...] | list[str]) -> dict[str, Node]:
        """A mapping whose keys are all known, except at the top those that begin with `x-`."""
        if not isinstance(node, MappingNode):
            raise self.fault(node, f"{what} must be a mapping")
        given: dict[str, Node] = {}
        for name, key, value in yaml12.pairs(node, self.file):
            if name in LATER and known in (TOP, STAGE):
                raise self.fault(key, f"{LATER[name]} not run yet ({name!r})")
            if name not in known and not (known is TOP and str(name).startswith("x-")):
                raise self.fault(
                    key, f"unknown key {name!r} in {what}", did_you_mean(str(name), known)
                )
            given[name] = value
        return given


def _quoted(what: str) -> str:
    return what if " " in what else repr(what)


def _join(folder: str, path: str) -> str:
    """Join and tidy, by text alone: `./a`, `b/../a` and `a/` are all `a`."""
    joined = os.path.normpath(os.path.join(folder, path))
    return "/" + joined.lstrip("/") if joined.startswith("/") else joined
