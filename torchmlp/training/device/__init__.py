"""Devices, dtypes, data transfer and CUDA graphs. A first reading can skip this folder."""
