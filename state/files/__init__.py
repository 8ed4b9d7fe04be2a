"""How files are written and read: whole or not at all, closed to others, each at its one path."""
