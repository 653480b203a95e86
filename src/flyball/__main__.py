"""The only start: `flyball`, or `python -m flyball`."""

import sys

from flyball.kernel import collector


def main() -> int:
    """Run the command line; its exit code."""
    collector.starting()
    from flyball.edges.cli.main import run  # noqa: PLC0415 - a start file with nothing in it

    try:
        return run()
    finally:
        collector.ending()


if __name__ == "__main__":
    sys.exit(main())
