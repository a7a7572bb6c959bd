"""`python -m alnico`: the command line. Also what the command `alnico` starts."""

from flows.cli.app import main

if __name__ == "__main__":
    main()
