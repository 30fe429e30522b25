"""Architectures as texts of other benchmarks and as arrays for predictors, to and from the official index.

>>> from natsdb import encodings
>>> encodings.index_of("tss", "(4, 0, 3, 1, 4, 3)")
2631
>>> encodings.text_of("tss", 0, "digits")
'421211'
>>> encodings.one_hot("tss", range(15_625)).shape
(15625, 6, 5)
"""

from natsdb.schema.encodings import (
    adjacency,
    as_frame,
    feature_names,
    index_of,
    one_hot,
    paths,
    recognised,
    text_of,
)

__all__ = ["adjacency", "as_frame", "feature_names", "index_of", "one_hot", "paths", "recognised", "text_of"]
