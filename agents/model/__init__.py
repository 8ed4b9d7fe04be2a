"""The records that an agent sees and the records that it answers with."""
