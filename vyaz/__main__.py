"""`python -m vyaz` is the command `vyaz`."""

from vyaz.cli.app import main

main()
