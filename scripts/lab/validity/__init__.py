"""Does the promotion gate tell skill from luck? Markets with nothing in them, and markets with a known rule in them."""
