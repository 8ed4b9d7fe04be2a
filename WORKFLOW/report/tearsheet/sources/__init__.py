"""Read trades and curves from files of other programs, with one module for each source; see `recognise`."""
