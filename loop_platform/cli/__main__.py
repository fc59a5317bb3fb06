"""`python -m loop_platform.cli` is `loop`."""

from loop_platform.cli import main

main()
