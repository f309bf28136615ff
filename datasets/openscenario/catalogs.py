"""Catalogs: vehicles, routes, trajectories and manoeuvres that scenarios refer to by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from drive.datasets.openscenario.text import declared, open_text
from drive.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from drive.datasets.openscenario.text import Text

MAX_FILES = 500


@dataclass(frozen=True, slots=True, eq=False)
class Catalogs:
    """The catalog files of the folders that a scenario names, by their catalog's name."""

    found: dict[str, list[Text]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: Text, folder: Path) -> Catalogs:
        """Look into every folder that <CatalogLocations> names, relative to the scenario's."""
        out: dict[str, list[Text]] = {}
        block = text.child("CatalogLocations")
        seen: set[Path] = set()
        for location in () if block is None else block.children():
            place = location.need("Directory").text("path").replace("\\", "/")
            where = (folder / place).resolve()
            files = [where] if where.is_file() else sorted(where.glob("*.xosc"))[:MAX_FILES]
            for file in files:
                if file in seen:
                    continue
                seen.add(file)
                try:
                    root = open_text(file, any_version=True)
                except InputError:
                    continue
                catalog = root.child("Catalog")
                if catalog is not None:
                    out.setdefault(catalog.text("name", ""), []).append(catalog)
        return cls(out)

    def entry(self, reference: Text | None) -> Text | None:
        """The entry that a <CatalogReference> means, with the parameters it assigns; None without one.

        Raises InputError where no catalog holds it.
        """
        if reference is None:
            return None
        catalog, name = reference.text("catalogName"), reference.text("entryName")
        for text in self.found.get(catalog, []):
            for child in text.children():
                if child.text("name", "") == name:
                    given = {}
                    block = reference.child("ParameterAssignments")
                    for row in () if block is None else block.children("ParameterAssignment"):
                        given[row.reference("parameterRef")] = row.text("value")
                    # Entries may use what the scenario declares; what they cannot read counts with it.
                    entry = replace(reference, doc=child.doc, node=child.node)
                    return entry.at(child.node, declared(entry, given))
        raise reference.fault(f"no catalog '{catalog}' with an entry '{name}' in the folders that it names")
