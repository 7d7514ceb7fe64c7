"""`dodo`, and `python -m dodo_exp`."""

import gc
import os
import sys


def main() -> None:
    """Run the command line and exit.

    Until the command is loaded Ctrl-C ends us at once and silently: there is nothing to put back.
    """
    from dodo_exp import interrupt

    interrupt.ends_us()
    from dodo_exp.engine import still

    if still.answer(sys.argv[1:]):
        os._exit(0)
    # A command makes many objects that all stay until it ends: looking through them for circles
    # again and again would double the time of a large project.
    gc.set_threshold(1_000_000, 20, 20)
    from dodo_exp.cli.main import main
    from dodo_store import own

    own.claim()

    main()


if __name__ == "__main__":
    main()
