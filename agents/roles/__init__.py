"""One module for each agent: its memory, and its decision as a function of what it sees."""
