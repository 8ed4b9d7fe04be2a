"""Write and read files: each completely or not at all, closed to other users, and each at its one path."""
