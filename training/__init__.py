"""Regenerating rows of the benchmark with PyTorch. Not built yet."""
