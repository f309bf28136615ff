"""SUMO configurations: which files and options a simulation is started with, and what is not carried over.

A configuration may name outputs anywhere on the disk, and its additional files detectors that write. Here
nothing is written beside the user's files: only options of the known groups are carried over, and of
additional files only what acts on traffic, through a filtered copy in the cache.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from drive.cache import cache_folder
from drive.datasets.sumo.network import MAX_BYTES
from drive.datasets.xml import Document, Node, parse_xml
from drive.errors import InputError
from drive.sim.sumo.engine import SumoFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOTS = ("configuration", "sumoConfiguration")
CARRIED = (
    "ignore-route-errors", "time-to-teleport", "collision.", "max-depart-delay", "max-num-vehicles",
    "default.", "lanechange.", "lateral-resolution", "ignore-junction-blocker", "pedestrian.",
    "eager-insert", "scale", "random-depart-offset", "time-to-impatience", "waiting-time-memory",
    "extrapolate-departpos", "tls.", "routing-algorithm", "weights.", "junction-taz", "overtaking-left",
    "step-method.ballistic", "no-internal-links", "emergencydecel", "sloppy-insert", "emergency-insert",
    "seed",
)  # fmt: skip
"""Names, or beginnings of names, of the options that act on traffic. `device.` is left out: devices write."""
ACTING = frozenset(
    ("vType", "vTypeDistribution", "route", "routeDistribution", "tlLogic", "WAUT", "wautJunction", "busStop",
     "trainStop", "containerStop", "parkingArea", "chargingStation", "taz", "tazs", "rerouter",
     "variableSpeedSign", "vehicle", "trip", "flow", "person", "personFlow", "container", "containerFlow")
)  # fmt: skip
"""Elements of additional files that act on traffic; detectors, drawings and timed events are left out."""
LEFT_ALONE = ("net-file", "route-files", "additional-files", "begin", "end", "step-length")
SILENT = (
    "no-step-log",
    "verbose",
    "no-warnings",
    "duration-log.disable",
    "gui-settings-file",
    "random",
)
MAX_ROUTE_BYTES = 2 * 1024**3
BLOCK = 1 << 20
FORBIDDEN = (b"<!DOCTYPE", b"<!ENTITY")
GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration that can be started; `digest` of everything in its files that acts on traffic."""

    name: str
    files: SumoFiles
    digest: str
    notes: tuple[str, ...]


def is_configuration(path: Path, tag: str | None) -> bool:
    return tag in ROOTS and path.name.endswith((".sumocfg", ".sumo.cfg", ".sumocfg.xml"))


def read_configuration(path: Path) -> Configuration:
    """Read a configuration and look at its files; raises InputError, one line that names file and reason."""
    document = parse_xml(path)
    if document.root.tag not in ROOTS:
        raise InputError(f"{document.name}: its root is <{document.root.tag}>, not a SUMO configuration")
    options: dict[str, str] = {}
    for node in _leaves(document.root):
        value = node.attributes.get("value", node.attributes.get("v"))
        if value is not None:
            options[node.tag] = value
    network = _files(path, options.get("net-file", options.get("n", "")))
    routes = _files(path, options.get("route-files", options.get("r", "")))
    additional = _files(path, options.get("additional-files", options.get("a", "")))
    if len(network) != 1:
        raise InputError(f"{path.name}: it names no network; its <input> needs <net-file value=…/>")
    if not routes and not additional:
        raise InputError(f"{path.name}: it names no demand; its <input> needs <route-files value=…/>")
    digest = hashlib.blake2b(digest_size=16)
    for file, limit in ((network[0], MAX_BYTES), *((r, MAX_ROUTE_BYTES) for r in routes)):
        _scan(path, file, limit, digest)
    carried: list[str] = []
    notes: list[str] = []
    for name, value in options.items():
        if name.startswith(CARRIED) and "output" not in name and "file" not in name:
            carried += [f"--{name}", value]
        elif name not in (*LEFT_ALONE, *SILENT, "n", "r", "a"):
            notes.append(f"option {name} is not carried over")
    begin, end, step = (
        _seconds(path, options, name, default)
        for name, default in (("begin", 0.0), ("end", 1e9), ("step-length", 1.0))
    )
    if not 0.0 < step <= 10.0:
        raise InputError(f"{path.name}: its step-length is {step:g} s; it must be above 0 and at most 10")
    digest.update(repr((carried, begin, step)).encode())
    acting = tuple(_acting(path, file, digest, notes) for file in additional)
    files = SumoFiles(network[0], routes, acting, tuple(carried), begin, end, step)
    return Configuration(path.name, files, digest.hexdigest(), tuple(notes))


def _leaves(node: Node) -> Iterator[Node]:
    for child in node.children:
        yield child
        yield from _leaves(child)


def _files(path: Path, text: str) -> tuple[Path, ...]:
    """Files that an option lists, against the configuration's folder."""
    return tuple(path.parent / name.strip() for name in text.replace(";", ",").split(",") if name.strip())


def _scan(owner: Path, file: Path, limit: int, digest: hashlib.blake2b) -> None:
    """Digest a file that SUMO itself will read, and refuse what an XML parser must not be given."""
    try:
        size = os.stat(file).st_size
        if size > limit:
            raise InputError(f"{owner.name}: {file.name} has {size} bytes, over the limit of {limit}")
        with open(file, "rb") as stream:
            before, count = b"", 0
            while block := stream.read(BLOCK):
                if count == 0 and block.startswith(GZIP):
                    raise InputError(f"{owner.name}: {file.name} is compressed; unpack it with gunzip")
                count += len(block)
                if count > limit:  # what is no plain file has no size
                    raise InputError(f"{owner.name}: {file.name} exceeds the limit of {limit} bytes")
                digest.update(block)
                seen = (before + block).replace(b"\0", b"").upper()
                if any(word in seen for word in FORBIDDEN):
                    raise InputError(
                        f"{owner.name}: {file.name}: a document type or entity declaration is refused"
                    )
                before = block[-32:]
    except OSError as error:
        raise InputError(f"{owner.name}: {file.name} cannot be read ({error.strerror or error})") from None


def _seconds(path: Path, options: dict[str, str], name: str, default: float) -> float:
    text = options.get(name)
    if text is None:
        return default
    try:
        parts = [float(v) for v in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 4 or not all(abs(v) < 1e9 for v in parts):
        raise InputError(f"{path.name}: {name} is '{text[:24]}', which is no time in seconds")
    value = 0.0
    for part in parts[-3:]:
        value = 60.0 * value + part
    # A negative end means: until everybody is gone.
    return (
        default if name == "end" and value < 0.0 else value + (86400.0 * parts[0] if len(parts) == 4 else 0.0)
    )


def _acting(owner: Path, file: Path, digest: hashlib.blake2b, notes: list[str]) -> Path:
    """An additional file with what acts on traffic alone: itself, or a copy of that part in the cache."""
    try:
        document = parse_xml(file)
    except InputError as error:
        raise InputError(f"{owner.name}: {error}") from None
    kept = [node for node in document.root.children if node.tag in ACTING]
    left = sorted({node.tag for node in document.root.children if node.tag not in ACTING})
    text = "<additional>\n" + "".join(_written(node) for node in kept) + "</additional>\n"
    digest.update(text.encode())
    if left:
        notes.append(f"{file.name}: {', '.join(left)} not carried over")
    # SUMO always gets the copy: so it reads nothing that was not looked at.
    name = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    target = cache_folder("sumo", "additional") / f"{name}.add.xml"
    if not target.exists():
        part = target.with_suffix(f".{os.getpid()}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    return target


def _written(node: Node) -> str:
    attributes = "".join(
        f" {key}={quoteattr(value)}"
        for key, value in node.attributes.items()
        if key != "output" and key != "file"
    )
    inner = "".join(
        _written(child) for child in node.children if child.attributes.get("key") not in ("file", "output")
    )
    return f"<{node.tag}{attributes}>{inner}</{node.tag}>\n" if inner else f"<{node.tag}{attributes}/>\n"


def names_vehicle(config: Configuration, name: str) -> bool:
    """Whether a vehicle or trip of the demand has this id; those that a flow makes are not looked for."""
    pattern = re.compile(rb"<(?:vehicle|trip)\b[^<>]*\bid=\"" + re.escape(name.encode()) + rb"\"")
    for file in config.files.routes:
        with open(file, "rb") as stream:
            if os.stat(file).st_size == 0:
                continue
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                if pattern.search(data):
                    return True
    return False


def demand_counts(path: Path) -> dict[str, int]:
    """Vehicles, trips and flows of a route file, as they stand in it."""
    document: Document = parse_xml(path, MAX_BYTES)
    found = {"vehicle": 0, "trip": 0, "flow": 0}
    for node in document.root.children:
        if node.tag in found:
            found[node.tag] += 1
    return {f"{name}s": count for name, count in found.items()}
