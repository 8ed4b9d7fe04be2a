"""What a person types, or puts into shell start-up: thin, may import everything."""
