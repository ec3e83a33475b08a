"""Questions that take several runs: leaderboard, tuning, headroom, references."""
