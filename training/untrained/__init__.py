"""What a network says before it is trained: zero-cost proxies, latency, memory, energy; figures, kept as they come.

Imports what `natsdb.training` imports, and ONNX's packages where that backend is asked for.
"""
