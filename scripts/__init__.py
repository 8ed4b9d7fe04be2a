"""The commands that people type or call at shell start-up. They are thin and may import every other package."""
