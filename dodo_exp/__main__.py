"""`python -m dodo_exp` is `dodo`."""

from dodo_exp.cli.main import main

main()
