"""The command `pgagent-py`: jobs, runs and files of jobs from the shell."""

from __future__ import annotations

__version__ = "1.0"
