"""The command `natsdb`. Scripts are run without the command line's own imports, which take longer than many of them."""

import os
import sys


def main() -> None:
    """Start the command line with `sys.argv`."""
    if sys.argv[1:2] == ["run"] and sys.argv[2:] and sys.argv[2] not in ("-h", "--help"):
        from natsdb.run import main as run

        code = run(sys.argv[2:])
        if code and not sys.flags.inspect:  # python -i would show it as an exception
            sys.exit(code)
        return
    from natsdb.cli import command_line

    command_line(sys.argv[1] if sys.argv[1:] else None)()


if __name__ == "__main__":
    if not __package__:
        # Run as a file, as `natsdb run` does for options of python's own: `natsdb` lies beside this folder, not in it.
        parent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        if sys.flags.safe_path:
            sys.path.append(parent)
        else:
            sys.path[0] = parent
    main()
