"""Side-by-side benchmarks: ratios in one run, against named peers that do the same work."""
