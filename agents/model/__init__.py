"""What an agent sees and what it answers."""
