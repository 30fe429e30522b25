"""The names of `nats_bench.api_utils`, so that `from nats_bench.api_utils import …` finds what it looks for."""

from natsdb.api.files import (
    PICKLE_EXT,
    get_file_system,
    get_torch_home,
    nats_is_dir,
    nats_is_file,
    pickle_load,
    pickle_save,
    reset_file_system,
    time_string,
)
from natsdb.api.handle import NASBenchMetaAPI, remap_dataset_set_names
from natsdb.api.results import ArchResults, ResultsCount, mean

__all__ = [
    "PICKLE_EXT",
    "ArchResults",
    "NASBenchMetaAPI",
    "ResultsCount",
    "get_file_system",
    "get_torch_home",
    "mean",
    "nats_is_dir",
    "nats_is_file",
    "pickle_load",
    "pickle_save",
    "remap_dataset_set_names",
    "reset_file_system",
    "time_string",
]
