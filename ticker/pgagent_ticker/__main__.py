"""`python -m pgagent_ticker` is the same as the console script `pgagent-ticker`."""

from __future__ import annotations

import sys

from pgagent_ticker.cli import main

if __name__ == "__main__":
    sys.exit(main())
