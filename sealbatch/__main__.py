"""`python -m sealbatch` is `sealbatch`."""

from sealbatch.cli import main

main()
