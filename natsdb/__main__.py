"""The command `natsdb`. Scripts are run without the command line's own imports, which take longer than many of them."""

import sys


def main() -> None:
    """Start the command line with `sys.argv`."""
    if sys.argv[1:2] == ["run"] and sys.argv[2:] and sys.argv[2] not in ("-h", "--help"):
        from natsdb.run import main as run

        sys.exit(run(sys.argv[2:]))
    from natsdb.cli import app

    app()


if __name__ == "__main__":
    main()
