"""The towns that a server can load: OpenDRIVE files by the names that CARLA's clients use."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from drive.errors import InputError, UnknownNameError

MAX_BYTES = 64 << 20
GENERATED = "OpenDriveMap"
"""The name under which a client asks for the road network that it sent itself."""


@dataclass(slots=True)
class Maps:
    """Names and files; a network that a client sent is a file like others, the last one only."""

    files: dict[str, Path] = field(default_factory=dict)
    _sent: tempfile.TemporaryDirectory[str] | None = None

    @property
    def names(self) -> list[str]:
        """As CARLA's `get_available_maps` has them."""
        return [f"/Game/Carla/Maps/{name}" for name in sorted(self.files) if name != GENERATED]

    def find(self, asked: str) -> tuple[str, Path]:
        """The name and the file of a map. Raises UnknownNameError."""
        name = bare_name(asked)
        if name not in self.files:
            raise UnknownNameError("map", name[:80], self.files)
        return name, self.files[name]

    def take(self, network: str) -> None:
        """Keep a network that a client sent, until the next one. Raises InputError when it is too long."""
        data = network.encode("utf-8", "replace")
        if len(data) > MAX_BYTES:
            raise InputError("the OpenDRIVE text is too long")
        if self._sent is None:
            self._sent = tempfile.TemporaryDirectory(prefix="drive-carla-")
        self.files[GENERATED] = Path(self._sent.name) / f"{GENERATED}.xodr"
        self.files[GENERATED].write_bytes(data)

    def close(self) -> None:
        if self._sent is not None:
            self._sent.cleanup()


def bare_name(asked: str) -> str:
    """`/Game/Carla/Maps/Town01_Opt` and its like are `Town01` (the layered towns have the same roads)."""
    return asked.replace("\\", "/").rpartition("/")[2].removesuffix(".xodr").removesuffix("_Opt")


def find_maps(map_or_file: str | None, folder: Path | None) -> tuple[Maps, str]:
    """The maps of a folder and of one file, and the name of the one to begin with.

    A folder is taken as it lies in a CARLA release too (`.../Maps/OpenDrive/Town01.xodr`). Raises InputError
    when there is none, UnknownNameError for a name that is not there.
    """
    files: dict[str, Path] = {}
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"--maps: there is no folder {folder}")
        found = [*folder.rglob("OpenDrive/*.xodr"), *folder.glob("*.xodr")]
        files = {path.stem: path for path in sorted(found)}
    first = ""
    if map_or_file is not None:
        path = Path(map_or_file)
        if path.suffix.lower() == ".xodr":
            if not path.is_file():
                raise InputError(f"--map: there is no file {path}")
            files[path.stem] = path
        first = bare_name(path.as_posix()) if path.suffix.lower() != ".xodr" else path.stem
        if first not in files:
            if not files:
                raise InputError(
                    f"--map {map_or_file}: name a file.xodr, or the folder that has it with --maps"
                )
            raise UnknownNameError("map", first, files)
    if not files:
        raise InputError("no map: --map FILE.xodr, or --maps FOLDER with .xodr files")
    return Maps(files), first or next((n for n in ("Town10HD", "Town01") if n in files), min(files))
