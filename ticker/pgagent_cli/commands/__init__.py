"""The commands: one module each, or one for a close group. `cli.COMMANDS` says which is where."""

from __future__ import annotations
