"""Count a promoted result again: checks from figures, figures from equity and trades, and these from the bars."""
