"""dodo-exp: run, queue, compare and restore experiments over a dvc.yaml, without Git.

Floors, from the top; imports point down only (docs/design/engine.md):
cli -> exps -> engine -> pipeline -> dodo_store.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.checkpoint import CheckpointFailed, make_checkpoint

__all__ = ["CheckpointFailed", "make_checkpoint"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """What stages import from here; commands do not (PEP 562)."""
    if name in __all__ or name == "checkpoint":
        from importlib import import_module

        checkpoint = import_module("dodo_exp.checkpoint")
        return checkpoint if name == "checkpoint" else getattr(checkpoint, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
