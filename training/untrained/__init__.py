"""What a network says before it is trained: zero-cost proxies, latency, memory, energy; kept by architecture as they come.

Imports what `natsdb.training` imports, and ONNX's packages where that backend is asked for.
"""
