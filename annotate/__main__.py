"""Start of the command `annotate`, which imports next to nothing, so that Ctrl-C is one line from the first moment."""

from annotate.interrupts import end_imports_at_once


def main() -> None:
    """Entry point of the console script."""
    end_imports_at_once()
    from annotate.cli import main as run

    run()


if __name__ == "__main__":
    main()
