"""The records that both planes share, one small module for each."""
