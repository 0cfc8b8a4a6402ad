"""A randomised drill: jobs, agents and a storm of faults; afterwards the books must be true: ``python -m drill``."""

from __future__ import annotations
