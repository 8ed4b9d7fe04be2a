"""The whole search on trial: what it would have shown on luck alone, from the daily returns of everything it tried."""
