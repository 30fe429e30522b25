"""Energy counters of the machine: RAPL of a CPU's packages, NVML of a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True)
class Meter:
    """A counter of joules. `why`: why there is none, if there is none; `wraps`: joules at which counters of packages
    begin again from zero."""

    read: Callable[[], tuple[float, ...]] | None = None
    why: str = ""
    wraps: tuple[float, ...] = ()

    def joules(self) -> tuple[float, ...] | None:
        """What the counters say, one a package; None where there are none."""
        return None if self.read is None else self.read()

    def between(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Joules between two readings, all packages together."""
        spent = [late - early for early, late in zip(before, after, strict=True)]
        wraps = self.wraps or (0.0,) * len(spent)
        return sum(one if one >= 0 else one + wrap for one, wrap in zip(spent, wraps, strict=True))

    @classmethod
    def of(cls, device: str, powercap: Path = _POWERCAP) -> Meter:
        """The meter of a device, as PyTorch names it."""
        return _nvml(device) if device.startswith("cuda") else _rapl(powercap)


def _rapl(powercap: Path) -> Meter:
    # intel-rapl:0 is a package (AMD's too), intel-rapl:0:1 a part of one.
    counters = [zone / "energy_uj" for zone in sorted(powercap.glob("intel-rapl:*")) if zone.name.count(":") == 1]
    if not counters:
        return Meter(why="the machine has no counter of energy (RAPL)")

    def read() -> tuple[float, ...]:
        return tuple(int(counter.read_text()) / 1e6 for counter in counters)

    try:
        read()
        wraps = tuple(int(one.with_name("max_energy_range_uj").read_text()) / 1e6 for one in counters)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        return Meter(why=f"the counter of energy cannot be read ({said}: {counters[0]})")
    return Meter(read, wraps=wraps)


def _nvml(device: str) -> Meter:
    try:
        import pynvml

        pynvml.nvmlInit()
        # (NVML counts all devices, PyTorch those that are visible: by its UUID a device is the same to both.)
        handle: Any = pynvml.nvmlDeviceGetHandleByUUID(_uuid(device))
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except Exception as error:  # NVML has an error class a kind, and the package may be missing
        return Meter(why=f"the device's counter of energy cannot be read (NVML: {error})")
    return Meter(lambda: (pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,))


def _uuid(device: str) -> str:
    import torch

    return f"GPU-{torch.cuda.get_device_properties(torch.device(device)).uuid}"
