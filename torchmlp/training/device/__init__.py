"""Devices, dtypes, threads, data transfer and CUDA graphs."""
