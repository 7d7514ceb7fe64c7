"""Job: one experiment of the queue, from the snapshot that it starts from to its result."""

from __future__ import annotations

import contextlib
import signal
import time

from dodo_exp.engine import disk, signals
from dodo_exp.engine.outcome import Options
from dodo_exp.engine.request import Request
from dodo_exp.engine.signals import Signalled
from dodo_exp.errors import DodoError, Failure, NoRoom, Stopped, in_words
from dodo_exp.exps import queue, steps, temp, watched
from dodo_exp.exps.ending import Performed, give_up, keep_failed, over, result_of
from dodo_exp.exps.naming import TakenOver, turns
from dodo_exp.exps.record import load
from dodo_exp.exps.run import Order, Start, reason_of, run_apart
from dodo_exp.exps.steps import Step
from dodo_exp.exps.submit import submit
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.slots import Pool
    from dodo_exp.events import Listener
    from dodo_exp.exps.record import Experiment
    from dodo_exp.exps.run import Ran
    from dodo_exp.exps.temp import Place
    from dodo_exp.pipeline.overrides import Change
    from dodo_exp.project import Project
    from dodo_store.store import Store


def perform(
    project: Project,
    claim: queue.Claim,
    place: Place,
    listener: Listener,
    budget: Pool | None = None,
    *,
    can_wait: bool = False,
) -> Performed:
    """Run a job that is ours, in *place*, and let it be over.

    With *can_wait* it waits for its turn again when a stage's time is up that has kept a step: what
    is said of it then is QUEUED.

    Raises:
        Stopped: a signal ended it. The job is still ours: see `put_back` and `give_up`.
        NoRoom: the disk is full or read-only. The job is still ours.
    """
    store, job = project.store, claim.job
    task = queue.task(job)
    if task is None:
        return over(project, claim, Performed(queue.FAILED, "its file cannot be read", None))
    known = result_of(project, job, task)
    if known is not None:
        return over(project, claim, known)
    options = Options(**task.options)
    with watched.recorded(project, job, options.jobs, listener, claim.who.command) as recorder:
        try:
            draft = load(store, task.record)
            place.bring(draft.base)
            claim.tell(root=place.root, local=place.local, started=time.time())
            kept_as, last = _last(store, task, draft)
            start = Start(draft.base, draft.parent, task.id, claim, budget, last, kept_as, can_wait)
            order = Order(
                _request(task),
                options,
                (),
                job.name,
                draft.message,
                task.replace,
                task.command,
                start,
            )
            ran = run_apart(place.project(task.folder), order, job.name, recorder)
        except (Stopped, NoRoom):
            raise
        except TakenOver as error:
            return Performed(queue.STOPPED, str(error), None)
        except (DodoError, StoreError, OSError) as error:
            full = disk.cause(error)
            if full is not None:
                raise disk.no_room(full, store.folder) from error
            text = in_words(error)
            recorder.say(f"error: {text}")
            name = keep_failed(project, claim, place, text)
            return over(project, claim, Performed(queue.FAILED, text, None, name), recorder)
        reason = reason_of(ran.outcome)
        if ran.is_put_back and claim.put_back():
            recorder.say(f"# {reason}; it goes on in its next turn")
            return Performed(queue.QUEUED, reason, ran)
        for failure in ran.outcome.failures:
            recorder.say(f"error: {failure}")
        has_failed = bool(reason) and not options.ignore_errors
        how = queue.FAILED if has_failed else queue.SUCCESS
        recorder.say(f"# {how}")
        done = Performed(how, reason if has_failed else "", ran, ran.experiment or "")
        return over(project, claim, done, recorder)


def _last(store: Store, task: queue.Task, draft: Experiment) -> tuple[str, Step | None]:
    """The step that it goes on from: of an earlier turn, and its name; or that of its record."""
    found = steps.left(store, turns(draft, task), task.ids)
    if found is not None:
        return found
    return "", Step(draft.before, load(store, draft.before)) if draft.before is not None else None


def _request(task: queue.Task) -> Request:
    given: dict[str, Any] = {**task.request, "targets": tuple(task.request["targets"])}
    return Request(**given)


def run_temp(
    project: Project,
    order: Order,
    variant: tuple[Change, ...],
    listener: Listener,
    include: tuple[str, ...],
) -> Ran:
    """Run an experiment in a folder of its own, now, from the workspace as it is.

    Raises:
        BadInput, UsageError, Failure
        Stopped: by a signal; what it has made so far is kept.
    """
    who = queue.me(order.command)

    def put(tasks: list[tuple[str, queue.Task]]) -> queue.Claim:
        return queue.begin(project.store, *tasks[0], who)

    claim = submit(project, order, [variant], listener, put, where=queue.TEMP, include=include)
    name = claim.job.name
    try:
        with signals.caught() as caught, temp.borrow(project) as place:
            try:
                done = perform(project, claim, place, listener)
            except (Stopped, Signalled) as stop:
                caught.again()
                number = stop.number if isinstance(stop, Signalled) else stop.code - 128
                reason = f"stopped by {signal.Signals(number).name}"
                give_up(project, claim, place, queue.STOPPED, reason)
                text = f"stopped; what it has made is kept as {name!r}"
                raise Stopped(number, text) from None
    except (NoRoom, OSError) as error:
        if isinstance(error, OSError) and disk.cause(error) is None:
            raise
        try:
            give_up(project, claim, None, queue.FAILED, in_words(error))
        except OSError:  # there is no room for its end either
            with contextlib.suppress(OSError):
                claim.drop()
        raise
    except Signalled as stop:
        raise Stopped(stop.number, "stopped") from None
    finally:
        claim.close()
    name = done.experiment or name
    if done.ran is None:
        raise Failure(done.reason, f"what it had is kept as {name!r}")
    if done.how != queue.SUCCESS:
        return done.ran._replace(experiment=None, is_apart=True, kept_as=name)
    return done.ran._replace(is_apart=True)
