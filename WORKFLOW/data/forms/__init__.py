"""The forms in which people have bars; each module handles one concern and reports what it decided."""
