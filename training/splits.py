"""Which images belong to which split: one rule and two lists that no rule generates.

The lists are facts of the benchmark, as one bit an image: 1 is x-valid, 0 is x-test, the most significant bit first.
Their source is the authors' repository (AutoDL-Projects, `configs/nas-benchmark/`); the digests are checked on use.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Sequence

import numpy as np

from natsdb.schema.datasets import DATASETS

_SHA256 = {
    "cifar100": "0e3d28362cc4a95028690e2b59fc23a9763f1f9eee03bb5de62bc5ee983609fc",
    "ImageNet16-120": "dcf46343a3f6355562d9cf983672e2482af6264093f9a1e41004ecbb34913201",
}


def halves_by_rule(images: int) -> tuple[list[int], list[int]]:
    """The official rule for CIFAR-10's training images: shuffled by Python's generator with seed 1021, cut in half.

    Returns:
        (train, x-valid): ids of the images in ascending order.
    """
    ids = list(range(images))
    random.Random(1021).shuffle(ids)
    return sorted(ids[: images // 2]), sorted(ids[images // 2 :])


def halves_of_test(dataset: str, images: int) -> tuple[list[int], list[int]]:
    """x-valid and x-test: the official halves where there are as many test images as in the official data set.

    A data set of another size is not the official one: its halves, and those of any other data set, are those of the
    rule for CIFAR-10.

    Args:
        dataset: cifar100, ImageNet16-120, or another one whose test images are halved.
        images: number of test images.
    """
    if dataset not in _X_VALID or images != DATASETS[dataset].splits["ori-test"].images:
        return halves_by_rule(images)
    raw = base64.b64decode(_X_VALID[dataset])
    assert hashlib.sha256(raw).hexdigest() == _SHA256[dataset], "the embedded split is damaged"
    valid = np.unpackbits(np.frombuffer(raw, np.uint8), count=images).astype(bool)
    return np.flatnonzero(valid).tolist(), np.flatnonzero(~valid).tolist()


def cut_by_rule(labels: Sequence[int]) -> tuple[list[int], list[int]]:
    """The rule for a data set of one's own that comes in one part: the images of each class in their order, shuffled by
    Python's generator with seed 1021; the last fifth of them, one at least, is for testing.

    Returns:
        (train, test): ids of the images in ascending order; a class of a single image has none for testing.
    """
    train, test = [], []
    for label in sorted(set(labels)):
        ids = [number for number, of in enumerate(labels) if of == label]
        random.Random(1021).shuffle(ids)
        count = max(1, (len(ids) + 2) // 5) if len(ids) > 1 else 0
        train += ids[: len(ids) - count]
        test += ids[len(ids) - count :]
    return sorted(train), sorted(test)


def some(ids: Sequence[int], count: int | None) -> list[int]:
    """So many of the ids, in ascending order, drawn by a fixed seed: for reduced runs. All if None or not so many."""
    return list(ids) if count is None or count >= len(ids) else sorted(random.Random(1021).sample(list(ids), count))


_X_VALID = {
    "cifar100": (
        "XKe3Gk1NynroXmcGwmOnKN54m+o9J1rREBKBgLPuZnr2Utc2R6NK3w+DUDZsMC7nAeW9etUCSn7qTHugRID6aefLuRQVAzkgAX0v"
        "srQ/qUX+odDSvE3rupq+hUHdL8JAVe001wBdf3zz0JpCHbSRyriS/2mNwJEBYiqZaExjX+b8I88b8pcG2OOoiwb4QZqKjWu64H8o"
        "EP4FhQX9IlEE3OTv6RXcSfuPVehd2YpC+XaFo+tV1wRj8Nu8fIJscliBBOZZvdySNMwWGJQC+XD2mpjWUSV0sGng4tkgcieBU8YQ"
        "2DLMKDQfkJskmT3kq4D92AWDtivBVcNUXxn6iaPjWvs+s4qH0mzfI4MiTCO67DjqTkX2TJptIpzfDmk+WRlGjVJk/9m7KJwm6UoZ"
        "uFfE3ANN7vQ43TIl3DkFEB7GQmXFwl4yZrp/kQ+VDzwPrGZzPsv+HF6/+2BBYCqWHx0hr7Dgd8WwMDxvn3sNRMvxy4zN6cdLyl5Y"
        "Zzg7GCx7qrkKWhRjLwjLGpToQLA8rvyCrjLN0ra7BNDW0w+kQRp8NdI2KRlxY6/zxEZS1F6up6CBo4cBJZtqobmv+F4i8dWcGE+2"
        "UNQtQnuDXPuB3dukC6UIt4Vp/v7wZJxNGBv4MyoUnGq3AsGQ669+qmrjrss4cvwbUAKycAx8qIKAIdUoBmWeKMBGT+F9yovcE8/f"
        "MwMRcCjid5T7vjfyjGyyvV1jtzM6X5Qro7b+gXWrxFPdMCxiBSumz20hiJCMoArtWLAQY8e4eaJ2ynl/29DPyQLuKjy1S4Du2J6x"
        "+1LLc7SvaEUP0ETUTFLPrPsT8naFH+jqRh6tBqkheJHo0eTaKtzi7ORWT/xzSrFsVpT7B4DOyzmHAETxwx/8MRryDmam4uxYuM+d"
        "yeCyNXE+i+yMiSZgrLRr1MZdsxvrcxeB90nE/3YlXGXSA5Rnt5XQt5t/iGunUEFcTQ0g/NBZYYDVkFGSxNYlGWx8MLT5dQuUZQMs"
        "IjUF2dfTsb0s/SfrWtE+388qkEPgBdMdZvZWqqfA3X6s7Jwc5Q6/jbcmvgcvjgf5V5DXM3M8q+lOJdYOAGfPLVFqhJg2oeme+GcJ"
        "9ujU3CZAg7HPuNLfu+9T+PQy3mXqqnli5WawaPSr/kat4jD8QgTdrhGTzoaul53C2jVEyh3NVDmgHYWX7oS0slkQAV5wi2QQmX7y"
        "SnCtNtijBfiErXnlVePYyO8JbLulREirgrvd6s9iyJg/2epPOGvSz2q4OSPsPr5DbtSNGkutb3OPJrllL38WEOOX6ISHaVkqgfUQ"
        "JT5vpCbuPtvZiPFko7XOzPRKwaKQZiH2hGj8+xy+0+hHtM+k3BxQCNJI5sHrAbke+vXPzwCqkdNWCh040xXCzq25eydD4PNJw3iu"
        "xCOQu75saNx7AT9ta7VhJlLI+qgICXVA8I3OUUVWYcvc6PQ70Fbe0QIywUIXC3Z4+DUK1naOeWfrlqBdInJjiFax8iDZt11epmcg"
        "MmlfuIORHMysPxwHw9Zbt6YaWMuQ0kO49rO1smF+lm10AxyCVPJdxTp9LjWVb3MVKnI7l0qKdBGs3Tf1IJI8VS7mDVndvdcSv2a/"
        "cKrpioaHiXsYBnTVtB5ITwSxkqLXKcsySfLH3zslECGLXwwZLSDSVC/5V3bxLPM49I0="
    ),
    "ImageNet16-120": (
        "c8iwPL7WtoI5v6Z6/SGuyHVreiB89vPs4jgwhCUkAH4zvHnCY1fyipjaeKPZp2mAV071JYEVB6mQov0BQDDt2n1zZLCDWKuhkVBU"
        "PSG7Qb6QKe4YrQb7uArM+dc4qKuTqRXjYoETRa9AVbihq025HlT6JGandu2tF7idqQ6IgMj+pZ3JgwcZlMF0vJJiAplLAphG92Vm"
        "CBDwujBydPt4zIXgLUusjZIlmQx6lF90vF/knwrIohTozEwMIGT1D5KMwxjv/Lay7lqrpPw7GtGiZL9I9d2t0q/Zl+od+ohexsY4"
        "tcRoHhoPNHNsvIMIJ7UkX8NGGnm2O8cw4CwdByP7+tkYMzUqXG2FOxcA43BgDjjR9yjED1WGo/XsZ0WSjkQ88UI4er4IF3w0YUzx"
        "/d1T+49BTbOB0UGKgoMd+50KiXJIVuENTozHJVULJxEG8nAwOhlLT4Jem9ufzqRnnf1vbepXA2CSvr4mf04468I9PD3nv7shgPzu"
        "dJ6Hl13hYrGtv2OGhZgOIUFGDS8SXYotYUO0mzbR++0Brv8eE41NbvfNZQZZbWSrdI2HiSGdEnuzdX7JUkfjdmomtNgjOAF6Dlkb"
        "Cs2zpAjZXGmQTrertS9PEvGzblP2Br2fhYroGt+d2B8T07WTHJUux7XM98ePjBYtGZzcSFgUxW6pd1T7VSbJhg8VcpAp+j0IFvIr"
        "NVXhLlny6ZnpTsg7/N/r75gD1HNlIo50GlzTIt4BQCEIkFDO5dKIjI//Riy2imCH7iWksV1+e+qNncVGcJuyEOx3dxpSxRDTOm81"
        "OlpftULHOKYPYn7fkuqZKeu1+fWMlP6hIyH5DPdl1P8E5tc3T+Qh8DmV9jGtXeu2/pugtLcNSv39p8jf1XxGBWuByGLZDDvcvkBA"
        "XClgvpWWkrY2pDKMjAKYT34DgA5y7yNtfHNyU7U8wJzlAbw7DtKHNmjmHnRK0D0dMy/bBIv9ALQ6HJTfbtQYP4gsC6pDM5qt+tln"
    ),
}
