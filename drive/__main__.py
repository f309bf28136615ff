"""`python -m drive`, for when the script `drive` is not on the path."""

import sys

from drive.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
