"""rdae desktop: what it puts into the data folder, and that the desktop makes sense of it."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from rdae.bitstream.header import MAGIC
from rdae.cli import desktop
from rdae.cli.data_home import MARK
from rdae.pillow_plugin import MIME_TYPE
from tests.cli.cli_runner import InProcess, Run, environment
from tests.processes import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux's desktops")

PAGE = Path(__file__).parents[2] / "docs" / "desktop.md"
FILES = {
    "mime/packages/rdae.xml",
    "thumbnailers/rdae.thumbnailer",
    "applications/rdae.desktop",
    "icons/hicolor/scalable/mimetypes/image-x-rdae.svg",
}
ODD = 'of "quotes", $HOME, `ls` and back\\slash'  # a folder's name
OTHERS = {  # files of other programs
    ".xml": '<mime-info xmlns="http://www.freedesktop.org/standards/shared-mime-info"/>',
    ".desktop": "[Desktop Entry]\nType=Application\nName=Other\nExec=other\nMimeType=image/png;\n",
}
needs_mime_database = pytest.mark.skipif(
    shutil.which("update-mime-database") is None, reason="shared-mime-info is not installed"
)
in_environment = pytest.mark.skipif(
    not Path(sys.executable).with_name("rdae").is_file(), reason="the command is not installed"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data home"


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder: contents of files, None for folders."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


@in_environment
def test_what_is_installed_is_removed_without_a_trace(run: Run, home: Path) -> None:
    home.mkdir()
    dry = run("desktop", "install", "--dry-run", XDG_DATA_HOME=str(home))
    assert dry.code == 0 and dry.err.count(": would be written\n") == len(FILES)
    assert tree(home) == {}

    first = run("desktop", "install", XDG_DATA_HOME=str(home))
    assert first.code == 0 and first.err.count(": written\n") == len(FILES)
    installed = tree(home)
    assert installed.keys() >= FILES
    assert all(MARK in (installed[name] or b"") for name in FILES)

    again = run("desktop", "install", XDG_DATA_HOME=str(home))
    assert again.code == 0 and again.err.count(": is there\n") == len(FILES)
    assert tree(home).keys() == installed.keys()

    dry = run("desktop", "uninstall", "--dry-run", XDG_DATA_HOME=str(home))
    assert dry.code == 0 and dry.err.count(": would be removed\n") == len(FILES)
    assert tree(home).keys() == installed.keys()

    gone = run("desktop", "uninstall", XDG_DATA_HOME=str(home))
    assert gone.code == 0 and gone.err.count(": removed\n") == len(FILES)
    assert tree(home) == {}
    assert "nothing of rdae" in run("desktop", "uninstall", XDG_DATA_HOME=str(home)).err


@in_environment
def test_what_others_have_installed_stays(run: Run, home: Path) -> None:
    for name in sorted(FILES):
        other = (home / name).with_name("other" + Path(name).suffix)
        other.parent.mkdir(parents=True)
        other.write_text(OTHERS.get(other.suffix, ""))
    for name, folder in (
        ("update-mime-database", "mime"),
        ("update-desktop-database", "applications"),
    ):
        if program := shutil.which(name):
            subprocess.run([program, home / folder], check=True)
    before = tree(home)
    assert run("desktop", "install", XDG_DATA_HOME=str(home)).code == 0
    assert run("desktop", "uninstall", XDG_DATA_HOME=str(home)).code == 0
    after = tree(home)
    assert after.pop("mime/image", None) is None  # update-mime-database makes it
    assert after == before


@in_environment
def test_links_and_empty_folders_of_the_user_stay(run: Run, home: Path) -> None:
    elsewhere = home.parent / "elsewhere"
    elsewhere.mkdir()
    (home / "applications" / "empty").mkdir(parents=True)
    (home / "thumbnailers").symlink_to(elsewhere, target_is_directory=True)
    assert run("desktop", "install", XDG_DATA_HOME=str(home)).code == 0
    assert (elsewhere / "rdae.thumbnailer").is_file()
    gone = run("desktop", "uninstall", XDG_DATA_HOME=str(home))
    assert (gone.code, "not a directory" in gone.err) == (0, False)
    assert tree(home).keys() == {"applications", "applications/empty", "thumbnailers"}
    assert tree(elsewhere) == {}


@in_environment
def test_a_file_of_that_name_that_is_not_ours_is_left_alone(run: Run, home: Path) -> None:
    theirs = home / "thumbnailers" / "rdae.thumbnailer"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    before = tree(home)
    for arguments in (["install"], ["install", "--dry-run"]):
        result = run("desktop", *arguments, XDG_DATA_HOME=str(home))
        assert result.code == 1 and f"{theirs} exists, and rdae has not written it" in result.err
    assert run("desktop", "uninstall", XDG_DATA_HOME=str(home)).code == 0
    assert tree(home) == before


@in_environment
def test_without_the_programs_of_a_desktop_it_says_so(run: Run, home: Path) -> None:
    result = run("desktop", "install", XDG_DATA_HOME=str(home), PATH="/nowhere")
    assert result.code == 0
    assert "update-mime-database is not installed (package shared-mime-info)" in result.err
    assert "update-desktop-database is not installed (package desktop-file-utils)" in result.err
    assert {name for name, content in tree(home).items() if content is not None} == FILES
    assert run("desktop", "uninstall", XDG_DATA_HOME=str(home), PATH="/nowhere").code == 0
    assert tree(home) == {}


@in_environment
def test_the_folder_is_that_of_the_specification(run: Run, tmp_path: Path) -> None:
    for named in ("", "not/absolute"):
        result = run("desktop", "install", "--dry-run", XDG_DATA_HOME=named, HOME=str(tmp_path))
        assert str(tmp_path / ".local/share/mime/packages/rdae.xml") in result.err


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_get_one_clear_line(
    call: InProcess, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(desktop, "sys", SimpleNamespace(platform=system))
    for command in ("install", "uninstall"):
        code, _, err = call("desktop", command)
        assert code == 2 and "rdae desktop is for Linux" in err and err.count("\n") == 2


def test_the_group_alone_shows_its_help(run: Run) -> None:
    result = run("desktop")
    assert result.code == 2 and "rdae desktop install" in result.err


def test_the_type_is_that_of_the_library() -> None:
    root = ET.fromstring(desktop.desktop_files("/usr/bin/rdae")["mime/packages/rdae.xml"])
    space = {"m": "http://www.freedesktop.org/standards/shared-mime-info"}
    (kind,) = root.findall("m:mime-type", space)
    assert kind.get("type") == MIME_TYPE
    (match,) = kind.findall("m:magic/m:match", space)
    assert (match.get("type"), match.get("offset")) == ("string", "0")
    value = match.get("value") or ""
    assert value.encode().decode("unicode_escape").encode("latin-1") == MAGIC


@needs_mime_database
@in_environment
@pytest.mark.skipif(shutil.which("gio") is None, reason="gio is not installed")
def test_files_are_known_by_their_first_bytes(run: Run, home: Path, rd: Path) -> None:
    assert run("desktop", "install", XDG_DATA_HOME=str(home)).code == 0
    rd.rename(rd.with_name("no extension"))
    rd.write_text("\\name{photo}\n\\title{A page of the manual of an R package}\n")

    def known_as(path: Path) -> str:
        done = subprocess.run(
            ["gio", "info", "-a", "standard::content-type,standard::icon", path],
            env=environment({"XDG_DATA_HOME": str(home)}),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    said = known_as(rd.with_name("no extension"))
    assert f"standard::content-type: {MIME_TYPE}\n" in said
    assert "standard::icon: image-x-rdae," in said
    assert "standard::content-type: text/plain\n" in known_as(rd)


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests stand apart from the sources")
@pytest.mark.skipif(shutil.which("file") is None, reason="file is not installed")
def test_the_lines_of_the_page_teach_the_command_file(tmp_path: Path, rd: Path) -> None:
    (lines,) = re.findall(r"^```\n(0\t.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "magic").write_text(lines)
    for option, said in (("--brief", "rdae image"), ("--mime-type", f"{rd.name}: {MIME_TYPE}")):
        done = subprocess.run(
            ["file", "-m", "magic", option, rd.name], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.stdout == said + "\n"


@pytest.mark.parametrize("folder", ["plain", ODD + " and 100 %s"])
def test_the_thumbnailer_makes_a_thumbnail(tmp_path: Path, rd: Path, folder: str) -> None:
    program = tmp_path / folder / "rdae"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rdae "$@"\n')
    program.chmod(0o755)
    text = desktop.desktop_files(str(program))["thumbnailers/rdae.thumbnailer"].decode()
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    entry = {name: value.replace("\\\\", "\\") for name, value in parser.items("Thumbnailer Entry")}
    assert entry["TryExec"] == str(program)
    assert entry["MimeType"] == f"{MIME_TYPE};"

    picture = rd.rename(tmp_path / "a 'picture'.rd")
    output = tmp_path / "made before"
    output.touch()
    # A shell parts the line as the desktop does; $1 to $3 stand for the fields of the entry.
    line = entry["Exec"].removesuffix(" %s %i %o")
    assert line != entry["Exec"]
    line = line.replace("%%", "%") + ' "$1" "$2" "$3"'

    def thumbnail() -> int:
        return subprocess.run(
            ["sh", "-c", line, "sh", "20", picture, output],
            cwd="/",
            env=environment({"PYTHONPATH": ""}),
            stderr=subprocess.DEVNULL,
        ).returncode

    with output.open("rb") as held:
        assert thumbnail() == 0
        with Image.open(held) as image:  # the file that was there, not one that replaced it
            assert image.format == "PNG" and image.size == (20, 12)
    picture.write_bytes(picture.read_bytes()[:-9])
    assert thumbnail() == 1 and not output.read_bytes()


@pytest.mark.skipif(shutil.which("gio") is None, reason="gio is not installed")
@pytest.mark.parametrize("folder", ["plain", ODD])  # GLib finds no program with % in its path
def test_open_with_shows_all_files_at_once(tmp_path: Path, folder: str) -> None:
    program = tmp_path / folder / "rdae"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncd "{tmp_path}"\nprintf "%s\\n" "$@" > new\nmv new called\n')
    program.chmod(0o755)
    entry = tmp_path / "rdae.desktop"
    entry.write_bytes(desktop.desktop_files(str(program))["applications/rdae.desktop"])
    if checker := shutil.which("desktop-file-validate"):
        subprocess.run([checker, entry], check=True)
    paths = [str(tmp_path / name) for name in ("a.rd", "a 'second' %f.rd")]
    subprocess.run(["gio", "launch", entry, *paths], check=True)
    wait_until((tmp_path / "called").exists)  # the desktop does not wait for programs
    assert (tmp_path / "called").read_text().splitlines() == ["view", *paths]


@in_environment
@pytest.mark.skipif(shutil.which("gio") is None, reason="gio is not installed")
@pytest.mark.skipif(
    shutil.which("update-desktop-database") is None, reason="desktop-file-utils is not installed"
)
def test_the_viewer_is_what_opens_the_type(run: Run, home: Path) -> None:
    places = {"XDG_DATA_HOME": str(home), "XDG_DATA_DIRS": "/nowhere", "LC_ALL": "C"}
    assert run("desktop", "install", XDG_DATA_HOME=str(home)).code == 0
    done = subprocess.run(
        ["gio", "mime", MIME_TYPE], env=environment(places), capture_output=True, text=True
    )
    assert "rdae.desktop" in done.stdout.splitlines()[0]
