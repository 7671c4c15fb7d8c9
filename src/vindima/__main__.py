"""`python -m vindima` is `vindima`."""

from vindima.cli import main

main()
