"""What is measured of letters: one module a noun, pure functions of fields, labels and styles. See docs/metrics.md."""
