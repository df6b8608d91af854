"""Vyaz as people import and type it: `from vyaz import Client`, and the command `vyaz`."""

from vyaz.client import Client

__all__ = ["Client"]
