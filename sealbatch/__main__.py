"""`sealbatch`, and `python -m sealbatch`, which is the same."""

import sys

from sealbatch.extras import need_face
from sealbatch.faults import Stop


def main() -> None:
    """Run the command, or say what to install before it can run."""
    try:
        need_face()
    except Stop as error:
        sys.stderr.write(f"sealbatch: {error}\nnext: {error.then}\n")
        sys.exit(error.code)
    from sealbatch.cli import main as run

    run()


if __name__ == "__main__":
    main()
