"""The towns that a server can load: OpenDRIVE files by the names that CARLA's clients use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from drive.errors import InputError, UnknownNameError

MAX_BYTES = 64 << 20
GENERATED = "OpenDriveMap"
"""The name under which a client asks for the road network that it sent itself."""


@dataclass(slots=True)
class Maps:
    """Names and files; a network that a client sent is kept beside them, the last one only."""

    files: dict[str, Path] = field(default_factory=dict)
    sent: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """As CARLA's `get_available_maps` has them."""
        return tuple(f"/Game/Carla/Maps/{name}" for name in sorted(self.files))

    def find(self, asked: str) -> tuple[str, str]:
        """The name and the text of a map. Raises UnknownNameError, and InputError for a file without use."""
        name = bare_name(asked)
        if name == GENERATED and self.sent is not None:
            return name, self.sent
        if name not in self.files:
            raise UnknownNameError("map", name[:80], self.files)
        return name, read(self.files[name])


def bare_name(asked: str) -> str:
    """`/Game/Carla/Maps/Town01_Opt` and its like are `Town01` (the layered towns have the same roads)."""
    return asked.replace("\\", "/").rpartition("/")[2].removesuffix(".xodr").removesuffix("_Opt")


def read(path: Path) -> str:
    """The text of an OpenDRIVE file. Raises InputError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is longer than {MAX_BYTES >> 20} MB: not a map to serve")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot read the map {path}: {error.strerror or error}") from None


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
