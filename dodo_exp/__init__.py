"""dodo-exp: run, queue, compare and restore experiments over a dvc.yaml, without Git.

Floors, from the top; imports point down only (docs/design/engine.md):
cli -> exps -> engine -> pipeline -> dodo_store.
"""

from dodo_exp.checkpoint import CheckpointFailed, make_checkpoint

__all__ = ["CheckpointFailed", "make_checkpoint"]
__version__ = "0.1.0"
