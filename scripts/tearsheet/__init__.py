"""Tearsheets as people ask for them."""
