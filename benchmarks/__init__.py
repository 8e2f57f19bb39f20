"""Benchmarks of torchmlp against other libraries, as ratios for each problem and library."""
