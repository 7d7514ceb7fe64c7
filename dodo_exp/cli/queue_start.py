"""`dodo queue start`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("start")
@declare.option(
    "-j",
    "--jobs",
    type=declare.Integer(1, 1024),
    default=1,
    metavar="N",
    help="Run up to N experiments at the same time.",
)
@declare.option("--detach", is_flag=True, help="Go on in the background, without this terminal.")
@declare.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
@options.as_json
def command(jobs: int, detach: bool, quiet: bool, as_json: bool) -> Report:
    """Run what waits in the queue, until it is empty.

    Each experiment runs in a folder of its own, from the snapshot that was taken when it was
    queued. A stage that several of them need is run once. As `dodo exp run --run-all`.
    """
    from dodo_exp.cli import drain
    from dodo_exp.project import Project

    project = Project.find()
    form = "json" if as_json else "text"
    if detach:
        return _detached(project, jobs, form)
    return drain.drain(project, jobs, quiet=quiet, command=options.command_line(), form=form)


def _detached(project: object, jobs: int, form: str) -> Report:
    import os
    import subprocess
    import sys

    from dodo_exp.cli import tell
    from dodo_exp.engine import disk, session
    from dodo_exp.errors import starting
    from dodo_exp.exps import queue, workers
    from dodo_exp.exps.recover import recover
    from dodo_exp.exps.worker import WAITS
    from dodo_exp.project import Project

    assert isinstance(project, Project)
    session.check_outside(project)
    project.write(tell.Progress())
    recover(project)
    disk.check(project.state, then=WAITS)
    host = os.uname().nodename
    known = workers.alive(project.store)
    there = sum(w.who.host == host and not workers.is_told_to_stop(project.store, w) for w in known)
    more = min(max(0, jobs - there), len(queue.waiting(project.store)))
    data = {"started": more, "running": there}
    if not more:
        text = f"{there} are running" if there else "nothing waits in the queue"
        return Report(data, f"Started no workers: {text}\n", form=form)
    path = f"{project.state}/logs/queue.log"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "ab") as log, starting():
        subprocess.Popen(
            [sys.executable, "-m", "dodo_exp", "queue", "start", "-j", str(more)],
            cwd=project.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    s = "" if more == 1 else "s"
    text = f"Started {more} worker{s}; `dodo queue status` shows how it goes\n"
    return Report(data, text, form=form)
