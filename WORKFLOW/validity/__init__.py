"""What a candidate must survive before anyone believes it."""
