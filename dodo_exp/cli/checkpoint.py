"""`dodo checkpoint`"""

from __future__ import annotations

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report


@declare.command("checkpoint")
@declare.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def command(quiet: bool) -> Report:
    """Keep the outputs of the stage that runs this as a step of the experiment.

    For training in any language: the step is safe on disk when the command ends. The stage needs an
    output with `checkpoint: true`. Outside of a run it does nothing, so that a script can be tried
    by hand. From Python `dodo_exp.make_checkpoint()` does the same, and faster.
    """
    import warnings

    from dodo_exp.checkpoint import CheckpointFailed, make_checkpoint, why_not
    from dodo_exp.cli import tell
    from dodo_exp.errors import Failure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            name = make_checkpoint()
        except CheckpointFailed as error:
            raise Failure(f"the checkpoint is not kept: {error}") from None
    if name is None and not quiet:
        tell.warning(why_not())
    return Report({"checkpoint": name}, "" if name is None or quiet else f"{name}\n")
