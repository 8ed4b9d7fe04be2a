#!/usr/bin/env python3
"""Draw the tearsheet of trades whose pnl is derived from a pct column, with all equity in every trade."""

if __name__ == "__main__" and not __package__:
    try:
        import _checkout  # puts the checkout first on sys.path, in its virtual environment
    except ModuleNotFoundError:
        raise SystemExit(f"error: {__file__} needs its checkout: copy the whole checkout, then run it there") from None

import sys

from scripts.tearsheet import command

if __name__ == "__main__":
    sys.exit(command.main(sys.argv[1:], "generate_tearsheet.py", "pct"))
