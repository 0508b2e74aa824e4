"""`sealbatch`, and `python -m sealbatch`, which is the same."""

import sys

from sealbatch.exits import Exit
from sealbatch.extras import NotInstalledError, need_face


def main() -> None:
    """Run the command, or say what to install before it can run."""
    try:
        need_face()
    except NotInstalledError as error:
        sys.stderr.write(f"sealbatch: {error.what}\nnext: {error.then}\n")
        sys.exit(Exit.CONFIGURATION)
    from sealbatch.cli import main as run

    run()


if __name__ == "__main__":
    main()
