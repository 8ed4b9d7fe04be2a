"""Work in steps that are kept one by one, so that a killed phase continues from the last of them."""
