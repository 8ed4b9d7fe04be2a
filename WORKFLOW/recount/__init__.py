"""What is promoted is counted again: checks from the figures, figures from equity and trades, these from the bars."""
