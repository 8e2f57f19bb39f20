"""How fast torchmlp is beside what a user would pick instead: problems x libraries, in ratios."""
