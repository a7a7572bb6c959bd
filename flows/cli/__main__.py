"""`python -m flows.cli`: the same as `alnico`."""

from flows.cli.app import main

main()
