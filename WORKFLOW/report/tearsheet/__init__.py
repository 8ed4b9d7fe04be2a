"""Tearsheets: one document of plain JSON for each strategy, from which its page, picture and comparison are made."""
