"""The commands that draw tearsheets."""
