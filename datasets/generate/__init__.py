"""The scenario generator: `gen/<family>/<seed>` is a pure function of its id and of `VERSION`."""

from drive.datasets.generate.source import FAMILIES, SOURCE, VERSION, GeneratorSource, generate

__all__ = ["FAMILIES", "SOURCE", "VERSION", "GeneratorSource", "generate"]
