"""The wheel holds every module and data file of the rooms, once, and nothing else."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import drive
from drive._imports import EXTRAS

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("drive", "sim", "datasets", "planners", "eval")
DATA = {".toml", ".yaml", ".html", ".css", ".js", ".json", ".npz", ".safetensors", ".typed"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def checkout_files() -> list[str]:
    """Every file that git tracks or would track: what a fresh clone has, and nothing that was built."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted({name for name in listing.split("\0") if name and (ROOT / name).exists()})


def archive_name(path: str) -> str:
    return path if path.startswith("drive/") else f"drive/{path}"


def build(kind: str, tree: Path, out: Path) -> Path:
    """Build with setuptools as pip would, without fetching anything."""
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta as b; b.build_{kind}(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(out)], cwd=tree, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the checkout, in a folder with a space in its name; links stay links."""
    pytest.importorskip("setuptools", minversion="77")
    copy = tmp_path_factory.mktemp("a copy")
    for name in checkout_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tree, tmp_path_factory.mktemp("built") / "wheel")


def members(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheel_holds_every_module_and_data_file_once(wheel: Path) -> None:
    wanted = sorted(
        archive_name(name)
        for name in checkout_files()
        if name.split("/")[0] in ROOMS and (Path(name).suffix in DATA | {".py"} or name.endswith("py.typed"))
    )
    held = sorted(name for name in members(wheel) if ".dist-info/" not in name)
    assert held == wanted


def test_wheel_has_one_top_level_name(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in members(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"drive"}


def test_wheel_declares_scripts_and_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        declared = configparser.ConfigParser()
        declared.read_string(archive.read(name).decode())
    assert declared["console_scripts"]["drive"] == "drive.cli.main:run"
    for group, points in project()["project"]["entry-points"].items():
        assert dict(declared[group]) == points


def test_sdist_builds_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", tree, tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    again = build("wheel", source, tmp_path / "wheel")
    assert sorted(members(again)) == sorted(members(wheel))


def test_room_links_are_relative() -> None:
    for room in ROOMS[1:]:
        link = ROOT / "drive" / room
        if link.is_symlink():  # a system without links has none, and needs none
            assert link.readlink() == Path("..", room)


def test_extras_named_in_messages_exist() -> None:
    assert set(EXTRAS.values()) <= set(project()["project"]["optional-dependencies"])


def test_dev_extra_stays_light() -> None:
    heavy = ("torch", "transformers", "carla", "ray", "safetensors")
    wanted = project()["project"]["optional-dependencies"]["dev"]
    assert not [item for item in wanted if item.startswith(heavy)]


def test_version_is_a_release() -> None:
    assert drive.__version__.count(".") == 2
