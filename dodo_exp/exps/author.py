"""Author: changes to files that the user wrote, made for him, each a step that can be undone."""

from __future__ import annotations

import os
import stat

from dodo_exp.engine import session
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import UsageError, did_you_mean
from dodo_exp.exps import change
from dodo_exp.exps.clean import without_records
from dodo_exp.pipeline import edit_yaml, yaml12
from dodo_exp.pipeline.graph import spellings, split
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_exp.pipeline.pyyaml import MappingNode
from dodo_exp.pipeline.text import decode
from dodo_store import durable, tree
from dodo_store.named import Named
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage
    from dodo_exp.pipeline.pyyaml import Node
    from dodo_exp.project import Project
    from dodo_store.delta import Change
    from dodo_store.pool import Batch


class Entry(Named):
    """A stage, or a group of them, as it is written; `file` is relative to the root."""

    file: str
    name: str
    body: Node
    line: int


class Removed(Named):
    """Stages that are no more, what they had made and is still there, and who reads that."""

    names: tuple[str, ...]
    left: tuple[str, ...]
    readers: tuple[tuple[str, str], ...]
    """Stage and path of each dependency that nothing makes now."""


def rewrite(
    workspace: Workspace,
    texts: Mapping[str, str | None],
    command: str,
    listener: Listener,
    *,
    gone: Iterable[Stage] = (),
    outs: Iterable[str] = (),
) -> None:
    """Give files new contents (None: none), forget stages and remove outputs, all or nothing.

    Raises:
        Failure
    """

    def plan(batch: Batch) -> list[Change]:
        nodes = [(path, _taken(workspace, batch, path, text)) for path, text in texts.items()]
        made = change.to_nodes(workspace, batch, [(path, node, ()) for path, node in nodes])
        made += change.exactly(workspace, batch, [(path, None) for path in outs])
        return made + without_records(workspace, batch, gone)

    change.bring(workspace, plan, command, listener)


def _taken(workspace: Workspace, batch: Batch, path: str, text: str | None) -> tree.Node | None:
    if text is None:
        return None
    data = text.encode()
    oid = of_bytes(data)
    batch.add_bytes(workspace.store.objects, oid, data)
    full = workspace.path(path)
    is_exec = os.path.exists(full) and os.stat(full).st_mode & stat.S_IXUSR
    return tree.Node(tree.EXEC if is_exec else tree.FILE, oid, len(data), oid)


def edit(
    project: Project,
    path: str,
    change_text: Callable[[Workspace, str], str],
    command: str,
    listener: Listener,
) -> None:
    """Change one file, relative to the root, in a way that can be undone.

    *change_text* makes the new text from the old one ("" where there is no file). It is called
    while the workspace is locked, so that nobody's change is lost; and once before, if there is no
    store yet, so that what it refuses leaves none behind. A file that is a link to one outside the
    project is written without a way back.

    Raises:
        BadInput, Busy, Failure, Stopped; whatever *change_text* raises.
    """
    if not project.store.exists:
        workspace = Workspace(project.root, project.store, tolerant=True)
        change_text(workspace, _text_if_any(workspace, path))
    with session.begin(project, listener, tolerant=True) as workspace:
        text = change_text(workspace, _text_if_any(workspace, path))
        inside = _real(project.root, path)
        if inside is None:
            durable.replace(os.path.realpath(workspace.path(path)), text.encode())
        else:
            rewrite(workspace, {inside: text}, command, listener)


def _text_if_any(workspace: Workspace, path: str) -> str:
    """The text of a file; "" where there is none."""
    try:
        return decode(workspace.read(path), path)
    except FileNotFoundError:
        return ""


def _real(root: str, path: str) -> str | None:
    """The file that a path leads to, relative to the root; None for one outside."""
    top, full = os.path.realpath(root), os.path.realpath(os.path.join(root, path))
    return os.path.relpath(full, top) if full.startswith(top + os.sep) else None


# -- stages --------------------------------------------------------------------------------


def remove(
    project: Project,
    targets: Iterable[str],
    command: str,
    listener: Listener,
    *,
    with_outs: bool,
) -> Removed:
    """Take stages out of their dvc.yaml and dodo.lock; *with_outs* also remove what they made.

    Works on a dvc.yaml that cannot be run as it is, too: that may be the reason for it.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    with session.begin(project, listener, tolerant=True) as workspace:
        entries = [_entry(project, workspace, target) for target in dict.fromkeys(targets)]
        texts: dict[str, str] = {}
        for entry in entries:
            text = texts.get(entry.file) or _text(workspace, entry.file, entry.file)
            texts[entry.file] = edit_yaml.delete_value(text, ("stages", entry.name), entry.file)
        graph = workspace.graph
        names = {(entry.file, entry.name) for entry in entries}
        gone = [
            stage
            for stage in graph.stages.values()
            if {(stage.file, stage.name), (stage.file, stage.group)} & names
        ]
        known = {stage.address for stage in gone}
        made = [out.path for stage in gone for out in stage.outs if out.is_inside]
        left = [path for path in made if os.path.lexists(workspace.path(path))]
        readers = [
            (stage.address, path)
            for stage in graph.stages.values()
            if stage.address not in known
            for path in stage.deps
            if graph.maker(path) in known
        ]
        inside = {_real(project.root, path) or path: text for path, text in texts.items()}
        outs = made if with_outs else ()
        rewrite(workspace, inside, command, listener, gone=gone, outs=outs)
    shown = tuple(
        project.shown(entry.file) + ":" + entry.name
        if project.shown(entry.file) != PIPELINE_FILE
        else entry.name
        for entry in entries
    )
    return Removed(shown, () if with_outs else tuple(left), tuple(readers))


def freeze(
    project: Project, targets: Iterable[str], command: str, listener: Listener, *, frozen: bool
) -> list[str]:
    """Set `frozen: true` for stages, or take it away; returns those that were not so already.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    changed = []
    with session.begin(project, listener, tolerant=True) as workspace:
        texts: dict[str, str] = {}
        for target in dict.fromkeys(targets):
            entry = _entry(project, workspace, target)
            text = texts.get(entry.file) or _text(workspace, entry.file, entry.file)
            keys: tuple[str, ...] = ("stages", entry.name)
            rows = _rows(entry.body, entry.file)
            if "do" in rows:
                keys, rows = (*keys, "do"), _rows(rows["do"], entry.file)
            node = rows.get("frozen")
            is_frozen = node is not None and yaml12.construct(node, entry.file) is True
            if is_frozen == frozen:
                continue
            keys = (*keys, "frozen")
            if frozen:
                texts[entry.file] = edit_yaml.set_value(text, keys, True, entry.file)
            elif node is not None:
                texts[entry.file] = edit_yaml.delete_value(text, keys, entry.file)
            changed.append(target)
        inside = {_real(project.root, path) or path: text for path, text in texts.items()}
        rewrite(workspace, inside, command, listener)
    return changed


def _rows(node: Node, file: str) -> dict[str, Node]:
    if not isinstance(node, MappingNode):
        return {}
    return {str(key): value for key, _, value in yaml12.pairs(node, file)}


def _text(workspace: Workspace, file: str, shown: str) -> str:
    try:
        return decode(workspace.read(file), file)
    except FileNotFoundError:
        raise UsageError(f"there is no {shown}") from None


def _written(workspace: Workspace, file: str, shown: str) -> dict[str, tuple[Node, Node]]:
    """The key and the body of every stage and group in a dvc.yaml, by name."""
    root = yaml12.compose(_text(workspace, file, shown), file)
    tops = _rows(root, file) if root is not None else {}
    found: dict[str, tuple[Node, Node]] = {}
    if isinstance(tops.get("stages"), MappingNode):
        for key, key_node, body in yaml12.pairs(tops["stages"], file):  # type: ignore[arg-type]
            found[str(key)] = key_node, body
    return found


def _entry(project: Project, workspace: Workspace, target: str) -> Entry:
    """What a target means, said where the user stands.

    Raises:
        BadInput, UsageError
    """
    for path, name in spellings(target):
        if name and os.path.isfile(path):
            file = project.inside(path)
            found = _written(workspace, file, project.shown(file))
            if name in found:
                key_node, body = found[name]
                return Entry(file, name, body, yaml12.line(key_node))
    path, name = split(target)
    file = project.inside(path)
    found = _written(workspace, file, project.shown(file))
    group = name.partition("@")[0]
    if "@" in name and group in found:
        line = yaml12.line(found[group][0])
        raise UsageError(
            f"{target!r} is one of the stages of {group!r}",
            f"see {project.shown(file)}:{line}, or name {group!r}",
        )
    raise UsageError(
        f"no stage {name!r} in {project.shown(file)}", did_you_mean(name, found, "stages")
    )
