"""`nas_201_api`, answered by natsdb."""

import sys

from natsdb.api import nas_201, nas_201_results

nas_201.api_201 = nas_201  # type: ignore[attr-defined]
sys.modules["nas_201_api.api_201"] = nas_201
sys.modules["nas_201_api.api_utils"] = nas_201_results
sys.modules["nas_201_api"] = nas_201
