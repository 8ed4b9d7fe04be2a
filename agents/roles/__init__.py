"""One module for each agent: what it remembers, and what it decides on what it sees."""
