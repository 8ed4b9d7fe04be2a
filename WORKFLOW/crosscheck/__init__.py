"""Ask engines that others wrote for the same trades, each in a process of its own, and compare trade by trade."""
