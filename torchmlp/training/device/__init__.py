"""Where a fit runs: devices, threads, transfer of rows and CUDA graphs."""
