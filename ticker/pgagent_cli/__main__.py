"""`python -m pgagent_cli` is the same as the console script `pgagent-py`."""

from __future__ import annotations

import sys

from pgagent_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
