"""NAVSIM's scores: PDMS of version 1, EPDMS of version 2 with one stage and two."""

from drive.eval.metrics.navsim.score import (
    EPDMS,
    EPDMS_PRE_2025_09,
    EPDMS_TWO_STAGE,
    EPDMS_TWO_STAGE_PRE_2025_09,
    PDMS,
    ExtendedPDMScore,
    PDMScore,
)

__all__ = [
    "EPDMS",
    "EPDMS_PRE_2025_09",
    "EPDMS_TWO_STAGE",
    "EPDMS_TWO_STAGE_PRE_2025_09",
    "PDMS",
    "ExtendedPDMScore",
    "PDMScore",
]
