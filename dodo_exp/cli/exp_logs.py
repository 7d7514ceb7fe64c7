"""`dodo exp logs`: the same as `dodo queue logs`."""

from dodo_exp.cli.queue_logs import command

__all__ = ["command"]
