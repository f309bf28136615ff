"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), a byte at a time by table."""

from __future__ import annotations

import numpy as np

from drive.datasets.waymo.kernels.compile import kernel

POLYNOMIAL = np.uint32(0x82F63B78)  # reflected


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ POLYNOMIAL, table >> 1).astype(np.uint32)
    return table


TABLE = _table()


@kernel
def crc32c(data, table):
    """The checksum of `data (N,)` uint8; `table` is `TABLE`."""
    crc = np.uint32(0xFFFFFFFF)
    for i in range(len(data)):
        crc = table[(crc ^ data[i]) & np.uint32(255)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)
