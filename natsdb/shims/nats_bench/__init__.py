"""`nats_bench`, answered by natsdb."""

import sys

from natsdb import api
from natsdb.api import api_size, api_test, api_topology, api_utils, genotype_utils

for _module in (api_size, api_test, api_topology, api_utils, genotype_utils):
    sys.modules[f"nats_bench.{_module.__name__.rpartition('.')[2]}"] = _module
sys.modules["nats_bench"] = api
