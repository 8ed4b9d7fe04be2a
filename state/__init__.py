"""The waist: every record that crosses a process boundary, where it lies, and who writes it."""
