"""Propose: stages for a folder of scripts, from what the scripts seem to read and write.

A proposal, for a person to look at: paths that are put together at run time are not seen. Scripts
are parsed and never run.
"""

from __future__ import annotations

import ast
import os
import re

from dodo_exp.pipeline import params
from dodo_exp.pipeline.model import MAX_BYTES, PARAMS_FILE
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

FOLDERS = ("", "src", "scripts", "code", "pipeline", "stages", "steps", "bin")
"""Where scripts are looked for."""
MOST = 200
"""So many scripts are looked at."""
RUN_BY = {".py": "python", ".sh": "sh", ".R": "Rscript", ".r": "Rscript", ".jl": "julia"}
NO_STAGE = re.compile(
    r"(^|/)(setup|conftest|test_\w+|\w+_test|__init__|__main__|utils?|dodo)\.\w+\Z"
)

_WRITERS = re.compile(
    r"(to_(csv|parquet|json|pickle|feather|excel|hdf)|savefig|savez?(_compressed)?|savetxt|save|"
    r"save_model|save_pretrained|write_text|write_bytes|write_csv|write_parquet|makedirs|mkdir|"
    r"imsave|imwrite|write_html|write_image)\Z"
)
_READERS = re.compile(
    r"(read_\w+|load\w*|loadtxt|genfromtxt|imread|from_pretrained|listdir|scandir|glob|iglob|"
    r"open_dataset|safe_load)\Z"
)
_FILE = re.compile(r"[\w.~-]+(/[\w.@~ -]+)*/?\Z")
_TEXT_PATH = re.compile(r"""["']((?:[\w.-]+/)*[\w.-]+\.\w{1,8})["']""")
_R_WRITES = re.compile(r"(write\w*|save\w*|ggsave|fwrite|sink|png|pdf)\s*\(", re.I)
_REDIRECT = re.compile(r">>?\s*((?:[\w.-]+/)*[\w.-]+\.\w{1,8})")
_METRIC = re.compile(r"metric|score|result|eval|summary|report", re.I)
_PLOT = re.compile(r"plot|curve|loss|history|roc|confusion|importance|figure", re.I)


class Proposal(Named):
    """A stage as it would be written: its name, and its entries in dvc.yaml."""

    name: str
    body: dict[str, Any]


class _Script(Named):
    path: str
    reads: frozenset[str]
    writes: frozenset[str]
    words: frozenset[str]
    """Every text in it: among them may be names of params."""
    imports: frozenset[str]
    """Files beside it that it imports."""


def propose(root: str, known: Iterable[str] = ()) -> list[Proposal]:
    """Stages for the scripts in *root* and its usual folders, in the order of what they read.

    Scripts among *known*, which a stage has already, are left out, and so are those that are
    imported by others or touch no file.
    """
    done = set(known)
    scripts = [_look(root, path) for path in _scripts(root)]
    imported = {path for script in scripts for path in script.imports}
    rows = [
        script
        for script in scripts
        if script.path not in imported and script.path not in done and script.writes
    ]
    made: dict[str, str] = {}
    for script in rows:
        for path in sorted(script.writes):
            made.setdefault(path, script.path)
    rows = _in_order(rows, made)
    names: dict[str, str] = {}
    for script in rows:
        stem = os.path.splitext(os.path.basename(script.path))[0]
        stem = re.sub(r"^\d+[_-]", "", re.sub(r"[^\w-]", "_", stem)) or "stage"
        name, i = stem, 2
        while name in names.values():
            name, i = f"{stem}-{i}", i + 1
        names[script.path] = name
    leaves = _params(root)
    return [Proposal(names[s.path], _body(root, s, made, leaves)) for s in rows]


def _scripts(root: str) -> Iterator[str]:
    count = 0
    for folder in FOLDERS:
        try:
            entries = sorted(os.scandir(os.path.join(root, folder)), key=lambda each: each.name)
        except OSError:
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            ending = os.path.splitext(path)[1]
            if ending in RUN_BY and not NO_STAGE.search(path) and entry.is_file():
                count += 1
                if count > MOST:
                    return
                yield path


def _look(root: str, path: str) -> _Script:
    full = os.path.join(root, path)
    try:
        with open(full, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_BYTES)
    except OSError:
        text = ""
    if path.endswith(".py"):
        try:
            return _python(root, path, ast.parse(text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return _Script(path, *[frozenset[str]()] * 4)
    reads: set[str] = set()
    writes = set(_REDIRECT.findall(text)) if path.endswith(".sh") else set()
    for line in text.splitlines():
        found = set(_TEXT_PATH.findall(line))
        (writes if _R_WRITES.search(line) else reads).update(found)
    if path.endswith(".sh"):
        words = re.findall(r"(?:[\w.-]+/)*[\w.-]+\.\w{1,8}", text)
        reads |= {word for word in words if os.path.exists(os.path.join(root, word))}
    writes = {each for each in writes if each != "/dev/null"}
    words_in = frozenset(re.findall(r"[\w.-]+", text)[:10_000])
    return _Script(path, frozenset(reads - writes), frozenset(writes), words_in, frozenset())


# -- Python --------------------------------------------------------------------------------


def _python(root: str, path: str, module: ast.Module) -> _Script:
    names = _constants(module)
    reads: set[str] = set()
    writes: set[str] = set()
    words: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)
            if _is_there(root, node.value):
                reads.add(node.value)
        elif isinstance(node, ast.Call):
            _call(node, names, reads, writes)
    imports = {
        found
        for node in ast.walk(module)
        for name in _imported(node)
        for found in _beside(root, path, name)
    }
    writes = {each.rstrip("/") for each in writes}
    writes = {each for each in writes if not any(o.startswith(each + "/") for o in writes)}
    inside = {each for each in reads if each in writes or _in_any(each, writes)}
    reads = {each.rstrip("/") for each in reads - inside} - {path, "."}
    folders = {each for each in reads if any(o.startswith(each + "/") for o in (reads | writes))}
    return _Script(
        path,
        frozenset(reads - folders - writes),
        frozenset(writes),
        frozenset(words),
        frozenset(imports),
    )


def _in_any(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder + "/") for folder in folders)


def _call(node: ast.Call, names: dict[str, str], reads: set[str], writes: set[str]) -> None:
    """What one call reads or writes, if its name says so and the path is in it."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    given = [*node.args, *(each.value for each in node.keywords)]
    paths = [path for each in given if (path := _path(each, names)) is not None]
    owner = _path(function.value, names) if isinstance(function, ast.Attribute) else None
    if name == "open":
        mode = node.args[1] if len(node.args) > 1 else None
        if owner is not None and node.args:
            mode = node.args[0]
        mode = next((each.value for each in node.keywords if each.arg == "mode"), mode)
        text = mode.value if isinstance(mode, ast.Constant) else "r"
        into = writes if isinstance(text, str) and set(text) & set("wax") else reads
        path = owner or (_path(node.args[0], names) if node.args else None)
        into.update([path] if path is not None else [])
    elif name == "dump" and len(paths) == 1 and not isinstance(node.args[0], ast.Constant):
        writes.update(paths)  # joblib.dump(model, "model.pkl")
    elif _WRITERS.match(name):
        writes.update([owner] if owner is not None else [p for p in paths if _looks_like(p)])
    elif _READERS.match(name) or name in ("read_text", "read_bytes"):
        reads.update([owner] if owner is not None else [p for p in paths if _looks_like(p)])


def _looks_like(text: str) -> bool:
    """Whether a text in a call is a path rather than some option's value."""
    return "/" in text or "." in text.strip(".")


def _constants(module: ast.Module) -> dict[str, str]:
    """Names that stand for paths: `DATA = Path("data")`, `OUT = DATA / "x.csv"`."""
    found: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
            path = _path(node.value, found)
            if isinstance(target, ast.Name) and path is not None:
                found[target.id] = path
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            _option(node, found)
    return found


def _option(node: ast.Call, found: dict[str, str]) -> None:
    """An option of argparse whose default is a path: `args.out` stands for it."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument" and node.args:
        flag = node.args[-1]
        default = next((each.value for each in node.keywords if each.arg == "default"), None)
        path = _path(default, found) if default is not None else None
        if isinstance(flag, ast.Constant) and isinstance(flag.value, str) and path is not None:
            found[f".{flag.value.lstrip('-').replace('-', '_')}"] = path


def _path(node: ast.expr, names: dict[str, str]) -> str | None:
    """The path that an expression stands for, where that can be seen."""
    if isinstance(node, ast.Constant):
        text = node.value
        if not isinstance(text, str) or not _FILE.match(text) or "://" in text:
            return None
        return os.path.normpath(text)
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        return names.get(f".{node.attr}")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        left, right = _path(node.left, names), _path(node.right, names)
        return os.path.normpath(f"{left}/{right}") if left and right else None
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = name or getattr(node.func, "id", "")
        parts = [_path(each, names) for each in node.args]
        if name in ("Path", "PurePath", "join", "str", "fspath", "open") and parts and parts[0]:
            if name == "open":
                return None
            known = [part for part in parts if part is not None]
            return os.path.normpath("/".join(known)) if len(known) == len(parts) else None
    return None


def _is_there(root: str, text: str) -> bool:
    """Whether a text in a script is the path of a file that is there."""
    if len(text) > 300 or not _FILE.match(text) or text.startswith("."):
        return False
    return "." in text and os.path.isfile(os.path.join(root, text))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module]
    return []


def _beside(root: str, path: str, module: str) -> list[str]:
    """Files of the project that an import means."""
    stem = module.replace(".", "/")
    found = []
    for folder in dict.fromkeys((os.path.dirname(path), "")):
        base = f"{folder}/{stem}" if folder else stem
        for candidate in (f"{base}.py", f"{base}/__init__.py"):
            if os.path.isfile(os.path.join(root, candidate)):
                found.append(candidate if not candidate.endswith("__init__.py") else base)
    return found[:1]


# -- stages --------------------------------------------------------------------------------


def _in_order(rows: list[_Script], made: dict[str, str]) -> list[_Script]:
    """Scripts after those that make what they read; where they go in a circle, as they come."""
    left = sorted(rows, key=lambda script: script.path)
    done: set[str] = set()
    found = []
    while left:
        free = [
            script
            for script in left
            if all(made.get(path, script.path) in done | {script.path} for path in script.reads)
        ]
        following = free[0] if free else left[0]
        left.remove(following)
        done.add(following.path)
        found.append(following)
    return found


def _params(root: str) -> dict[str, Any]:
    """The first level of params.yaml."""
    path = os.path.join(root, PARAMS_FILE)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES)
    except OSError:
        return {}
    return {str(key): value for key, value in params.parse(data, PARAMS_FILE).items()}


def _body(
    root: str, script: _Script, made: dict[str, str], leaves: dict[str, Any]
) -> dict[str, Any]:
    command = RUN_BY[os.path.splitext(script.path)[1]]
    body: dict[str, Any] = {"cmd": f"{command} {script.path}"}
    own = {path for path, maker in made.items() if maker == script.path}
    reads = {path for path in script.reads if path not in own and not path.startswith("..")}
    there = {path for path in reads if path in made or os.path.exists(os.path.join(root, path))} - {
        PARAMS_FILE
    }
    body["deps"] = sorted({script.path, *script.imports, *there})
    if PARAMS_FILE in script.reads:
        used = [key for key in leaves if key in script.words]
        body["params"] = used if used else [{PARAMS_FILE: None}]
    for path in sorted(own):
        if path.startswith(".."):
            continue
        stem, ending = os.path.splitext(path)
        if ending in (".json", ".yaml", ".yml", ".toml") and _METRIC.search(stem):
            body.setdefault("metrics", []).append({path: {"cache": False}})
        elif ending in (".csv", ".tsv", ".png", ".svg", ".jpg") and _PLOT.search(stem):
            body.setdefault("plots", []).append(path)
        else:
            body.setdefault("outs", []).append(path)
    order = ("cmd", "deps", "params", "outs", "metrics", "plots")
    return {key: body[key] for key in order if key in body}
