"""The actions that agents can decide on: one record for each kind, with its expected outcome and its check.

`agents/machine/acts.py` carries the actions out. `agents/model/action.py` holds what all kinds share.
"""
