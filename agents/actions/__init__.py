"""Everything that agents can decide to do: a record for each kind, with what it expects and how that is checked.

`agents/machine/acts.py` carries them out. What they share stands in `agents/model/action.py`.
"""
