"""What `dodo_exp.doit` uses of doit and doit does not promise: a new version fails here by name."""

from __future__ import annotations

import inspect
import io
import multiprocessing
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar

import pytest
from doit import doit_cmd
from doit.action import BaseAction
from doit.cmd_base import ModuleTaskLoader, TaskLoader2
from doit.dependency import Dependency, JSONCodec, MD5Checker, SqliteDB
from doit.doit_cmd import DoitMain
from doit.exceptions import BaseFail, InvalidCommand, InvalidDodoFile, TaskError, TaskFailed
from doit.task import Task

Call = tuple[Any, ...]


class Memory:
    """A backend that records what it is asked."""

    calls: ClassVar[list[Call]] = []
    kept: ClassVar[dict[tuple[str, str], Any]] = {}
    desc = "of a test"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        self.calls.append(("made", name, type(codec).__name__, module_name))

    def get(self, task_id: str, dependency: str) -> Any:
        self.calls.append(("get", task_id, dependency))
        return self.kept.get((task_id, dependency))

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        self.calls.append(("set", task_id, dependency))
        self.kept[task_id, dependency] = value

    def in_(self, task_id: str) -> bool:
        self.calls.append(("in", task_id))
        return any(name == task_id for name, _ in self.kept)

    def remove(self, task_id: str) -> None:
        self.calls.append(("remove", task_id))

    def remove_all(self) -> None:
        self.calls.append(("remove_all",))

    def dump(self) -> None:
        self.calls.append(("dump",))


class Loader(TaskLoader2):  # type: ignore[misc]
    """Gives doit the tasks of a test, and records in which order it is called."""

    def __init__(self, tasks: Sequence[Task], config: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.given = {"backend": "memory", **(config or {})}
        self.seen: list[str] = []

    def setup(self, opt_values: Any) -> None:
        self.seen.append("setup")

    def load_doit_config(self) -> dict[str, Any]:
        self.seen.append("config")
        return self.given

    def load_tasks(self, cmd: Any, pos_args: Sequence[str]) -> list[Task]:
        self.seen.append("tasks")
        perform = cmd._execute

        def execute(**given: Any) -> Any:
            self.seen.append(f"execute {cmd.name} {given.get('par_type', '')}".strip())
            return perform(**given)

        execute.__signature__ = inspect.signature(perform)  # type: ignore[attr-defined]
        cmd._execute = execute
        return self.tasks


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Memory, "calls", [])
    monkeypatch.setattr(Memory, "kept", {})


def run(loader: Any, *words: str) -> int:
    """`doit WORDS` with a loader, in this process."""
    extra = {"BACKEND": {"memory": f"{__name__}:Memory"}}
    main = DoitMain(loader, config_filenames=(), extra_config=extra)
    import doit.plugin

    before = doit.plugin.PluginEntry.load

    def load(entry: Any) -> Any:
        return Memory if entry.name == "memory" else before(entry)

    doit.plugin.PluginEntry.load = load
    try:
        code: int = main.run(list(words))
    finally:
        doit.plugin.PluginEntry.load = before
    return code


def fine() -> bool:
    return True


def fails() -> bool:
    return False


# -- the order of things -------------------------------------------------------------------


def test_uptodate_gets_the_task_before_its_file_dep_is_read() -> None:
    def drop(task: Task) -> bool:
        task.file_dep = set()
        return True

    task = Task("a", None, file_dep=["not-there"], uptodate=[drop])
    status = Dependency(Memory, "db").get_status(task, {})
    assert status.status == "up-to-date"


def test_uptodate_may_be_an_object_that_is_called_with_the_task_only() -> None:
    class Check:
        def __call__(self, task: Task) -> bool:
            self.task = task
            return True

    check = Check()
    task = Task("a", None, uptodate=[check])
    assert Dependency(Memory, "db").get_status(task, {}).status == "up-to-date"
    assert check.task is task


def test_info_shows_what_uptodate_says_of_itself(capsys: pytest.CaptureFixture[str]) -> None:
    class Check:
        def __call__(self, task: Task) -> bool:
            return False

        def __repr__(self) -> str:
            return "THE REASON"

    loader = Loader([Task("a", None, uptodate=[Check()])])
    assert run(loader, "info", "a") == 1
    assert "THE REASON" in capsys.readouterr().out


def test_tasks_are_loaded_after_the_config_and_before_the_command_is_executed() -> None:
    loader = Loader([Task("a", [fine])])
    assert run(loader, "run") == 0
    assert loader.seen == ["setup", "config", "tasks", "execute run process"]


def test_a_wrapper_of_execute_is_given_what_the_signature_names() -> None:
    loader = Loader([Task("a", None)])
    assert run(loader, "list", "--all") == 0
    assert loader.seen[-1] == "execute list"


def test_the_config_of_a_loader_sets_backend_verbosity_and_default_tasks() -> None:
    seen: list[str] = []
    tasks = [Task(name, [lambda name=name: seen.append(name)]) for name in "ab"]
    assert run(Loader(tasks, {"default_tasks": ["b"], "verbosity": 2})) == 0
    assert seen == ["b"]
    assert Memory.calls[0][0] == "made"


def test_a_file_dep_on_a_target_makes_a_task_follow_even_if_uptodate_drops_it() -> None:
    seen: list[str] = []

    def drop(task: Task) -> bool:
        task.file_dep = set()
        return False

    late = Task("late", [lambda: seen.append("late")], file_dep=["x"], uptodate=[drop])
    early = Task("early", [lambda: seen.append("early")], targets=["x"])
    run(Loader([late, early]))
    assert seen[0] == "early"


# -- the backend ---------------------------------------------------------------------------


def test_a_backend_is_made_with_a_codec_and_a_module_name() -> None:
    made = Dependency(Memory, "db", codec_cls=JSONCodec)
    assert Memory.calls == [("made", "db", "JSONCodec", None)]
    assert made.name == "db"


def test_the_default_name_of_the_database_is_known() -> None:
    run(Loader([Task("a", [fine])]))
    assert Memory.calls[0] == ("made", ".doit.db", "JSONCodec", None)


@pytest.mark.parametrize("words", [("forget", "a"), ("forget", "-s", "a"), ("clean", "--forget")])
def test_forget_does_not_ask_before_it_removes(words: tuple[str, ...]) -> None:
    run(Loader([Task("a", [fine])]), *words)
    before = Memory.calls[: Memory.calls.index(("remove", "a"))]
    assert not [call for call in before if call[0] == "get"]


def test_forget_all_removes_all_at_once() -> None:
    run(Loader([Task("a", [fine])]), "forget", "-a")
    assert ("remove_all",) in Memory.calls
    assert not [call for call in Memory.calls if call[0] in ("get", "remove")]


@pytest.mark.parametrize("how", [(), ("-n", "2", "-P", "thread"), ("-n", "2"), ("-a",)])
def test_a_run_asks_before_it_removes_what_failed(how: tuple[str, ...]) -> None:
    assert run(Loader([Task("a", [fails])]), "run", *how) == 1
    asked = Memory.calls.index(("get", "a", "ignore:"))
    assert asked < Memory.calls.index(("remove", "a"))


def test_a_run_asks_also_before_what_could_not_have_its_turn() -> None:
    made = [Task("a", [fails]), Task("b", [fine], task_dep=["a"])]
    assert run(Loader(made), "run", "-c") == 2
    assert Memory.calls.index(("get", "b", "ignore:")) < Memory.calls.index(("remove", "b"))


def test_save_success_sets_deps_last() -> None:
    Path("in").write_text("x")
    task = Task("a", None, file_dep=["in"])
    task.result, task.values = "made", {"x": 1}
    Dependency(Memory, "db", checker_cls=MD5Checker).save_success(task)
    names = [call[2] for call in Memory.calls if call[0] == "set"]
    assert names[-1] == "deps:"
    assert set(names) == {"_values_:", "result:", "checker:", "in", "deps:"}


def test_ignore_sets_one_thing_and_forget_takes_it_away() -> None:
    loader = Loader([Task("a", [fine])])
    run(loader, "ignore", "a")
    assert [call for call in Memory.calls if call[0] == "set"] == [("set", "a", "ignore:")]


def test_the_backend_is_dumped_at_the_end() -> None:
    run(Loader([Task("a", [fine])]))
    assert Memory.calls[-1] == ("dump",)


def test_results_are_asked_of_the_backend_by_their_name() -> None:
    Dependency(Memory, "db").get_result("a")
    assert Memory.calls[-1] == ("get", "a", "result:")


def test_sqlite_can_be_dumped_and_opened_again(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    first = SqliteDB(path, JSONCodec())
    first.set("a", "deps:", ["x"])
    first.dump()
    second = SqliteDB(path, JSONCodec())
    assert second.in_("a") and second.get("a", "deps:") == ["x"]
    second.remove("a")
    second.dump()
    third = SqliteDB(path, JSONCodec())
    assert not third.in_("a")
    third.dump()


# -- tasks ---------------------------------------------------------------------------------


def test_generators_may_yield_task_objects_which_keep_their_names() -> None:
    def task_many() -> Any:
        yield Task("one", [fine])
        yield Task("two@x", [fine], subtask_of="two")
        yield Task("two", None, has_subtask=True, task_dep=["two@x"])

    loader = ModuleTaskLoader({"task_many": task_many})
    loader.cmd_names = []
    command = type("Cmd", (), {"execute_tasks": False})
    names = [task.name for task in loader.load_tasks(command, [])]
    assert {"one", "two@x", "two"} <= set(names)


def test_an_action_object_is_told_its_task_and_given_streams() -> None:
    class Action(BaseAction):  # type: ignore[misc]
        task: Task | None = None
        out = err = ""
        result: str | None = None
        values: ClassVar[dict[str, Any]] = {}

        def execute(self, out: Any = None, err: Any = None) -> Any:
            assert self.task is not None
            self.seen = self.task.name
            self.result = "made"
            out.write("text")

    action = Action()
    loader = Loader([Task("a", [action])], {"verbosity": 2})
    assert run(loader) == 0
    assert action.seen == "a"
    assert Memory.kept[("a", "result:")]


@pytest.mark.parametrize(("kind", "code"), [(TaskFailed, 1), (TaskError, 2)])
def test_a_failure_that_an_action_returns_is_the_tasks(kind: type[BaseFail], code: int) -> None:
    class Action(BaseAction):  # type: ignore[misc]
        task: Task | None = None
        out = err = ""
        result = None
        values: ClassVar[dict[str, Any]] = {}

        def execute(self, out: Any = None, err: Any = None) -> Any:
            return kind("WHY")

    assert run(Loader([Task("a", [Action()])]), "run", "-o", "told") == code
    assert f"{kind.__name__} - taskid:a\nWHY" in Path("told").read_text()


def test_a_tasks_own_clean_is_called_with_a_stream_and_dryrun() -> None:
    seen: list[tuple[bool, bool]] = []

    class Own(Task):  # type: ignore[misc]
        def clean(self, outstream: Any, dryrun: bool) -> None:
            seen.append((hasattr(outstream, "write"), dryrun))

    made = [Own("a", None)]
    run(Loader(made), "clean")
    run(Loader(made), "clean", "-n")
    assert seen == [(True, False), (True, True)]


def test_what_pickle_safe_dict_says_is_all_that_goes_to_the_pool() -> None:
    class Own(Task):  # type: ignore[misc]
        def pickle_safe_dict(self) -> dict[str, Any]:
            found: dict[str, Any] = super().pickle_safe_dict()
            return {key: value for key, value in found.items() if key != "secret"}

    task = Own("a", [fine])
    task.secret = lambda: None
    task.flag = True
    assert "secret" in Task.pickle_safe_dict(task)
    sent = task.pickle_safe_dict()
    other = Own("a", [fine])
    other.secret = 5
    other.update_from_pickle(sent)
    assert (other.flag, other.secret) == (True, 5)


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="nothing is forked")
def test_processes_of_the_pool_are_forks() -> None:
    Path("here").write_text("x")
    big = io.StringIO()  # no pickle could take it along

    def act() -> bool:
        Path("out").write_text(str(big.getvalue()))
        return True

    assert run(Loader([Task("a", [act])]), "run", "-n", "2") == 0
    assert Path("out").exists()


# -- the command line ----------------------------------------------------------------------


def test_words_with_an_equals_sign_are_taken_out_as_variables() -> None:
    left = DoitMain(config_filenames=()).process_args(["exp", "run", "-S", "x=1", "-Sy=2", "--a=b"])
    assert left == ["exp", "run", "-S", "-Sy=2", "--a=b"]
    assert doit_cmd._CMDLINE_VARS == {"x": "1"}


def test_a_command_gets_its_words_before_doit_reads_options() -> None:
    from doit.cmd_base import Command

    seen: list[list[str]] = []

    class Own(Command):  # type: ignore[misc]
        name = "own"

        def parse_execute(self, in_args: list[str]) -> int:
            seen.append(in_args)
            return 7

    class Main(DoitMain):  # type: ignore[misc]
        DOIT_CMDS = (*DoitMain.DOIT_CMDS, Own)

    assert Main(Loader([]), config_filenames=()).run(["own", "--never", "-heard", "of"]) == 7
    assert seen == [["--never", "-heard", "of"]]


@pytest.mark.parametrize("error", [InvalidDodoFile, InvalidCommand])
def test_errors_of_loading_are_a_line_and_code_3(
    error: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    class Bad(Loader):
        def setup(self, opt_values: Any) -> None:
            raise error("WHAT\nIS WRONG")

    assert run(Bad([]), "list") == 3
    assert capsys.readouterr().err == "ERROR: WHAT\nIS WRONG\n"


def test_errors_in_a_check_are_a_line_and_code_3_too(capsys: pytest.CaptureFixture[str]) -> None:
    def check(task: Task) -> bool:
        raise InvalidDodoFile("WHAT")

    assert run(Loader([Task("a", [fine], uptodate=[check])])) == 3
    assert "ERROR: WHAT" in capsys.readouterr().err


def test_a_plugin_command_comes_instead_of_doits_own() -> None:
    from dodo_exp.doit_plugins import DumpDB

    assert DoitMain(config_filenames=()).get_cmds().get_plugin("dumpdb") is DumpDB


@pytest.mark.parametrize(
    ("group", "names"),
    [("LOADER", {"dodo"}), ("BACKEND", {"dodo"}), ("COMMAND", {"exp", "dumpdb"})],
)
def test_our_plugins_are_entry_points_that_doit_reads(group: str, names: set[str]) -> None:
    from doit.plugin import PluginDict

    ours = {p.name for p in entry_points(group=f"doit.{group}") if p.module.startswith("dodo_exp.")}
    assert ours == names
    found = PluginDict()
    found.add_plugins({}, group)
    for name in names:
        assert found.get_plugin(name).__module__.startswith("dodo_exp.doit")
