"""Trades and curves out of the files of other programs: one module for each source, recognised in `recognise`."""
