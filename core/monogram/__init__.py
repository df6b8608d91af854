"""Letters as fields: their algebra, how they are placed, and how they become pixels."""
