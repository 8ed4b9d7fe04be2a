"""The commands that keep an installation alive: environment, locks, checks."""
