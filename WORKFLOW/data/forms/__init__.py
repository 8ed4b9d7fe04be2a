"""The forms in which people have bars: each module reads one concern of them, and says what it decided."""
