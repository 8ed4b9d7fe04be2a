"""`cycle NAME`: one cycle of one agent in the checkout's environment; the same as `python -m agents NAME`."""

from agents.__main__ import main

__all__ = ["main"]
