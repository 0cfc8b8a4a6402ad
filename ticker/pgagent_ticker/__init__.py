"""The ticker of pgagent_py: wakes the engine in the database when a job is due and runs batch steps."""

from __future__ import annotations

__version__ = "1.0"
