"""Load, check, repair and generate bars."""
