"""Measurements of pgagent_py, beside Debian's pgAgent: ``python -m benchmarks`` in the folder above."""

from __future__ import annotations

import sys
from pathlib import Path

# The claim that is measured is the engine's own statement.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "extension"))
