"""Work in steps whose results are kept one by one, so that a killed phase continues after the last of them."""
