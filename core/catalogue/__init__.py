"""What is remembered: tables, the one place that commits, and queries by noun."""
