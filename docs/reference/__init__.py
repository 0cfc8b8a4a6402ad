"""Makes the pages of the reference: what can be asked is asked, nothing is written twice."""

from __future__ import annotations
