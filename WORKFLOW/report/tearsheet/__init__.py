"""Tearsheets: one document of plain JSON for each strategy, and its page, picture and comparison."""
