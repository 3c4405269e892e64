"""Start of the command `heat`, which imports next to nothing, so that Ctrl-C is one line from the first moment."""

from heat.interrupts import end_imports_at_once


def main() -> None:
    """Entry point of the console script."""
    end_imports_at_once()
    from heat.cli import main as run

    run()


if __name__ == "__main__":
    main()
