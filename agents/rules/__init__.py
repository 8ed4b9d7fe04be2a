"""Rules that decisions are made of, as pure as the agents themselves."""
