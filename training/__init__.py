"""Regenerating rows of the benchmark with PyTorch: networks, data, the official recipe, and runs that survive a kill.

Imports torch, torchvision, numpy and pyarrow only (`cluster.py` Ray too): a machine that trains need not have DuckDB.
"""
