"""`scripts/fetch-data`: download bars from an exchange into files that the product reads as they are."""
