"""The rules that decisions are made of. They are pure functions, as the agents are."""
