"""`dodo`, and `python -m dodo_exp`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit.

    Until the command is loaded Ctrl-C ends us at once and silently: there is nothing to put back.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dodo_exp import __version__
    from dodo_exp.engine import still

    if still.answer(__version__, sys.argv[1:]):
        os._exit(0)
    from dodo_exp.cli.main import main

    main()


if __name__ == "__main__":
    main()
