"""The only start: `flyball`, or `python -m flyball`."""

import sys


def main() -> int:
    """Run the command line; its exit code."""
    from flyball.edges.cli.main import run  # noqa: PLC0415 - a start file with nothing in it

    return run()


if __name__ == "__main__":
    sys.exit(main())
