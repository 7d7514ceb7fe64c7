"""Execute: a stage's commands, run as DVC runs them.

Each command is a process of its own: the user's shell ($SHELL, else /bin/sh) without start-up
files, in the stage's folder, in a process group of its own. What it writes goes to the listener
as it comes, and to the stage's log.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time

from dodo_exp.checkpoint import FOLDER
from dodo_exp.engine import disk, dvclive
from dodo_exp.engine.child import Used
from dodo_exp.engine.desk import PAUSE
from dodo_exp.engine.log import Log
from dodo_exp.engine.reaper import GRACE
from dodo_exp.engine.tag import STAGE, TAG, descendants, tagged
from dodo_exp.errors import StageFailed, is_process_limit, process_limit
from dodo_exp.events import CommandStarted, Output, Resumed, Waiting
from dodo_exp.pipeline import needs
from dodo_exp.pipeline.model import seen_from_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.child import Child
    from dodo_exp.engine.desk import Desk
    from dodo_exp.engine.reaper import Reaper
    from dodo_exp.engine.slots import Limits, Taken
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage
    from dodo_exp.pipeline.needs import Needs

MANY = 64
"""So often output is passed on before it is looked whether somebody asks for a checkpoint."""

PIPE = 1 << 20
"""Bytes that a pipe holds at most; a user's process may not make one larger (pipe(7))."""


class TimedOut(StageFailed):
    """A stage's time was up."""


class Stopping(Exception):
    """The run is being ended; this stage with it."""


class Executor:
    """Runs commands for one run; `stop` keeps it from starting more."""

    def __init__(
        self,
        root: str,
        reaper: Reaper,
        listener: Listener,
        experiment: str | None,
        stdin: bool,
        limits: Limits,
        who: str,
        grace: float = GRACE,
    ) -> None:
        self._grace = grace
        self._root = root
        self._reaper = reaper
        self._listener = listener
        self._stdin = 0 if stdin and not _is_terminal(0) else None
        self._stopping = threading.Event()
        self._environment = _environment(root, reaper.tag, experiment)
        self._experiment = experiment
        self._limits = limits
        self._who = who
        self._used: dict[str, Used] = {}
        self._lock = threading.Lock()
        """Guards `_used`."""

    def stop(self) -> None:
        """Start nothing more; what ends from here on ends because of us."""
        self._stopping.set()

    def used(self, stage: Stage) -> Used:
        """What the stage's commands took, also if it failed."""
        with self._lock:
            return self._used.get(stage.address, Used())

    def has_to_stop(self) -> bool:
        """Whether the run is being ended."""
        return self._stopping.is_set()

    def run(self, stage: Stage, log: str, desk: Desk | None = None) -> None:
        """Run the stage's commands in turn, when what the stage needs is free.

        At the *desk* they ask for checkpoints.

        Raises:
            StageFailed: a command could not start, or did not exit with 0.
            Stopping: the run is being ended.
        """
        wdir = os.path.join(self._root, stage.wdir)
        if not os.path.isdir(wdir):
            raise StageFailed(
                f"{stage.at}: stage {stage.address!r}: its working folder {stage.wdir!r}"
                " is not there"
            )
        wants = needs.of(stage.meta, stage.at)
        told: list[str] = []

        def waiting(pool: str, owner: str, is_idle: bool) -> None:
            what = f"{pool!r} for stage {stage.address!r}" if is_idle else "a place among the jobs"
            told.append(what)
            self._listener(Waiting(what, owner, is_idle))

        who = f"stage {stage.address!r} of {self._who}"
        slots, budget = self._limits
        with slots.take(wants, budget, who, waiting, self.has_to_stop) as taken:
            for what in told:
                self._listener(Resumed(what))
            if taken is None:
                raise Stopping
            environment = {**self._environment, **self._shares(wants, taken)}
            environment |= {"DVC_STAGE": stage.address, STAGE: stage.address}
            until = time.monotonic() + wants.timeout if wants.timeout is not None else None
            at_desk = desk or contextlib.nullcontext()
            environment |= desk.environment if desk is not None else {}
            with Log(log) as file, dvclive.standing_in(self._root, stage), at_desk:
                for command in stage.cmds:
                    self._command(
                        stage, command, wdir, environment, file, until, taken.descriptors, desk
                    )

    def _shares(self, wants: Needs, taken: Taken) -> dict[str, str]:
        """What a command is told of what it may use."""
        found = {"DODO_SLOT": str(taken.slot)} if taken.slot is not None else {}
        for name, amount in wants.resources:
            units = taken.resources[name]
            ids = self._limits.slots.ids(name, units, amount)
            found[f"DODO_RESOURCE_{name.upper().replace('-', '_')}"] = ids
            if name == "gpu":
                found["CUDA_VISIBLE_DEVICES"] = ids
                found.setdefault("DODO_SLOT", str(units[0]))
        return found

    def _command(
        self,
        stage: Stage,
        command: str,
        wdir: str,
        environment: dict[str, str],
        log: Log,
        until: float | None,
        inherited: tuple[int, ...],
        desk: Desk | None,
    ) -> None:
        self._listener(CommandStarted(stage.address, command))
        log.write(f"> {command}\n".encode(errors="surrogateescape"))
        read, write = os.pipe()
        try:
            if self.has_to_stop():
                raise Stopping
            try:
                child = self._reaper.start(
                    shell(command),
                    wdir,
                    environment,
                    output=write,
                    stdin=self._stdin,
                    inherited=inherited,
                )
            except OSError as error:
                if isinstance(error, ChildProcessError):
                    self._end_all(stage, set())
                text = f"stage {stage.address!r}: cannot start"
                if is_process_limit(error):
                    limit = process_limit()
                    raise StageFailed(f"{text}: {limit}", limit.hint) from None
                raise StageFailed(f"{text}: {error}") from None
            finally:
                os.close(write)
            late: set[int] = set()
            try:
                is_late = self._forward(stage, child, read, log, until, desk, late)
                code, used = self._waited(stage, child)
                with self._lock:
                    so_far = self._used.get(stage.address, Used())
                    self._used[stage.address] = used.plus(so_far)
            finally:
                self._reaper.done(child)
        finally:
            os.close(read)
        if self.has_to_stop():
            raise Stopping
        if is_late:
            self._end_all(stage, late)
            seconds = needs.of(stage.meta, stage.at).timeout
            text = f"stage {stage.address!r} was ended after its timeout of {seconds:g} s"
            raise TimedOut(text, self.hint(log.path))
        if code != 0:
            hint, full = self.hint(log.path), disk.blame(self._root, log.last)
            if full is not None:
                hint = str(disk.no_room(full, self._root, hint).hint)
            raise StageFailed(
                f"stage {stage.address!r} failed: {command!r} {_ending(code)}", hint
            ) from full

    def _waited(self, stage: Stage, child: Child) -> tuple[int, Used]:
        try:
            return child.wait()
        except ChildProcessError as error:
            child.end(signal.SIGKILL)
            self._end_all(stage, set())
            raise StageFailed(f"stage {stage.address!r}: {error}") from None

    def _end_all(self, stage: Stage, late: set[int]) -> None:
        """Its time is up: what the stage has started ends too, also what has left its group.

        *late* are the processes that were below its command when its time was up.
        """
        until = time.monotonic() + self._grace
        number: int = signal.SIGTERM
        while left := {*tagged(self._reaper.tag, stage.address), *self._reaper.below(late)}:
            if time.monotonic() > until:
                number = signal.SIGKILL
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            if number == signal.SIGKILL:
                return
            number = 0
            time.sleep(0.05)

    def _serve(self, stage: Stage, desk: Desk, child: Child) -> None:
        """Keep checkpoints that are asked for; where one cannot be, the command ends first."""
        try:
            desk.serve()
        except BaseException as error:
            until = time.monotonic() + self._grace
            child.end(signal.SIGTERM)
            while not child.has_ended():
                if time.monotonic() > until:
                    child.end(signal.SIGKILL)
                time.sleep(0.02)
            if isinstance(error, StageFailed):
                raise StageFailed(f"stage {stage.address!r}: {error}", error.hint) from None
            raise

    def hint(self, log: str) -> str:
        """Where to look for what a stage's commands wrote, which is in *log*."""
        if not log.startswith(f"{self._root}/"):  # a folder that will be somebody else's
            return f"`dodo queue logs {self._experiment}` shows its output"
        return f"its output is in {seen_from_here(self._root, log)}"

    def _forward(
        self,
        stage: Stage,
        child: Child,
        read: int,
        log: Log,
        until: float | None,
        desk: Desk | None,
        late: set[int],
    ) -> bool:
        """Pass output on until the command has ended; True if its time was up before.

        Then *late* has the processes that were below it.

        The pipe and the process end in either order. A command that redirects its own output
        closes the pipe at once and is served on. A background process may keep the pipe open after
        the command has ended: it is not waited for. Of its output, what the pipe can hold at that
        moment is read and no more, so it may write without end.

        Raises:
            StageFailed: a checkpoint could not be kept; the command has ended.
        """
        left = PIPE
        ended = is_late = False
        is_open = True
        told = 0
        bells = desk.descriptors if desk is not None else ()
        pause = PAUSE if desk is not None else 0.05
        while is_open or desk is not None or until is not None:
            # Once the command has ended its descriptors stay readable.
            watched = () if child.has_ended() else child.descriptors
            sources = {*bells, *watched, *([read] if is_open else ())}
            ready, _, _ = select.select(sources, [], [], 0 if ended else pause)
            told = told + 1 if read in ready else 0
            if desk is not None and not 0 < told < MANY:
                # What it has written before it asked is told before that.
                told = 0
                self._serve(stage, desk, child)
            if read in ready:
                data = os.read(read, 1 << 16)
                if data:
                    log.write(data)
                    self._listener(Output(stage.address, data))
                    left -= len(data) if ended else 0
                else:
                    is_open, pause = False, PAUSE
                if left <= 0:
                    break
                ended = ended or child.has_ended()
            elif ended:
                break
            else:
                ended = child.has_ended()
            if desk is not None and ended and self.has_to_stop():
                # Its shell ends at once when it is told to; what it runs may keep one more step.
                ended = not child.has_company()
            if until is not None and not ended and time.monotonic() > until:
                late |= descendants([child.pid])
                # Asked first; the next time it is told.
                child.end(signal.SIGKILL if is_late else signal.SIGTERM)
                is_late = True
                until = time.monotonic() + self._grace
        return is_late


def shell(command: str) -> list[str]:
    """How the user's shell runs one command, without its start-up files."""
    path = os.environ.get("SHELL") or "/bin/sh"
    options = {
        "bash": ["--noprofile", "--norc"],
        "zsh": ["--no-rcs"],
        "fish": ["--no-config", "--private"],
    }.get(os.path.basename(path), [])
    return [path, *options, "-c", command]


def _environment(root: str, tag: str, experiment: str | None) -> dict[str, str]:
    names = {"DVC_ROOT": root, "DODO_ROOT": root, TAG: tag}
    if experiment is not None:
        names |= {"DVC_EXP_NAME": experiment, "DODO_EXP_NAME": experiment}
    around = dict(os.environ)
    if around.pop(FOLDER, None) is not None:
        # A stage of another project runs us: what asks here is none of its business.
        for name in ("DVC_CHECKPOINT", "DVCLIVE_RESUME"):
            around.pop(name, None)
    # Through a pipe Python would hold back its output; people want to watch their training.
    return {"PYTHONUNBUFFERED": "1", **around, **names}


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
