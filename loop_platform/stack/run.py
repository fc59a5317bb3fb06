"""Become one program of the stack, without a supervisor: for containers, which are one.

python -m loop_platform.stack.run gateway
"""

import os
import sys

from loop_platform.settings import settings
from loop_platform.stack.programs import environment, programs


def main() -> None:
    found = {program.name: program for program in programs(settings())}
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in found:
        sys.exit(f"{name!r} is no program of the stack; there are: {', '.join(found)}")
    os.environ.update(environment(settings()))
    command = found[name].command
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
