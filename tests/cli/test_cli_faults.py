"""A hostile world: full and read-only disks, rivals for a name, links and odd names.

Whatever happens, an output is whole or not there, and a line says which file failed and why.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_runner import (
    Result,
    Run,
    environment,
    names,
    run_rdae,
    run_without_rights,
    save,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX links, limits and pipes")

RDAE = (sys.executable, "-m", "rdae")
SHELL_RDAE = shlex.join(RDAE)


@functools.cache
def can_mount() -> bool:
    """Whether file systems can be mounted for one process alone; this takes Linux and root."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    done = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False)
    return done.returncode == 0


def with_mount(folder: Path, mount: str, *arguments: str) -> Result:
    """Run the command where `out` is mounted anew; its output is the files there at the end."""
    listing = r"for f in $(ls -A out); do echo $f: $(head -c 4 out/$f | tr -d '\0'); done"
    command = f"{SHELL_RDAE} {shlex.join(arguments)}; code=$?"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} || exit 99; {command}; {listing}; exit $code"],
        cwd=folder,
        capture_output=True,
        env=environment(),
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An empty folder to put results in."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def large_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture whose .ppm is larger than the buffer of a pipe."""
    folder = tmp_path_factory.mktemp("large")
    save(folder / "large.png", height=256, width=320)
    assert run_rdae(folder, "compress", "large.png").code == 0
    return folder


@pytest.fixture
def large(tmp_path: Path, large_files: Path) -> None:
    """That picture as large.png and large.rd in the test's folder."""
    shutil.copytree(large_files, tmp_path, dirs_exist_ok=True)


# Disks.


def test_a_full_disk_keeps_what_was_there_and_adds_nothing(
    tmp_path: Path, out: Path, large: None
) -> None:
    if not can_mount():
        pytest.skip("cannot mount a small disk")
    mount = "mount -t tmpfs -o size=16k none out && echo old > out/large.ppm"
    result = with_mount(tmp_path, mount, "decompress", "large.rd", "-f", "-o", "out/large.ppm")
    assert (result.code, result.out.decode()) == (1, "large.ppm: old\n")
    assert result.err == "rdae: out/large.ppm: no space left on device\n"
    mount = "mount -t tmpfs -o size=16k none out; head -c 99999 /dev/zero > out/zero 2> /dev/null"
    mount += "; test -s out/zero"
    result = with_mount(tmp_path, mount, "compress", "large.png", "--output-dir", "out")
    assert (result.code, result.out.decode()) == (1, "zero:\n")
    assert result.err == "rdae: out/large.rd: no space left on device\n"


def test_a_read_only_disk_is_an_error_that_names_the_output(
    tmp_path: Path, out: Path, photo: Path, rd: Path
) -> None:
    if not can_mount():
        pytest.skip("cannot mount a disk")
    mount = "mount --bind out out && mount -o remount,ro,bind out"
    for command, source, made in (("compress", photo, "photo.rd"), ("decompress", rd, "photo.png")):
        result = with_mount(tmp_path, mount, command, source.name, "--output-dir", "out")
        assert (result.code, result.out) == (1, b"")
        assert result.err == f"rdae: out/{made}: read-only file system\n"


def test_missing_permissions_are_errors_that_name_the_file(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    save(tmp_path / "secret.png").chmod(0)
    inputs = ("photo.png", "secret.png")
    result = run_without_rights(tmp_path, "compress", *inputs, "--output-dir", "locked")
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("root may write everywhere")
    assert result.code == 1
    assert result.err.splitlines()[:2] == [
        "rdae: locked/photo.rd: permission denied",
        "rdae: secret.png: permission denied",
    ]
    assert names(tmp_path) == ["photo.png", "secret.png"]


def test_an_input_that_cannot_be_deleted_fails_but_its_output_is_reported(
    tmp_path: Path, photo: Path
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    photo.rename(locked / "photo.png")
    assert run_rdae(tmp_path, "compress", "locked/photo.png").code == 0
    locked.chmod(0o500)
    calls = (("compress", "photo.png", "a.rd"), ("decompress", "photo.rd", "a.png"))
    for command, name, made in calls:
        options = ("-o", made, "--rm", "--json")
        result = run_without_rights(tmp_path, command, f"locked/{name}", *options)
        record = result.records[0]
        assert result.code == 1 and (locked / name).exists()
        assert result.err == (
            f"rdae: locked/{name}: cannot be deleted: permission denied; its output {made} is "
            "complete\n"
        )
        assert (record["ok"], record["output"]) == (False, made)
        assert record["output_bytes"] == (tmp_path / made).stat().st_size
    locked.chmod(0o700)


def test_a_full_disk_under_standard_output_is_an_error(tmp_path: Path, large: None) -> None:
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 9; {SHELL_RDAE} decompress large.rd -o - --format ppm > x.ppm"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=environment({"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}),
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"rdae: standard output: file too large\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_file_that_fits_into_the_buffer_of_standard_output_fails_there_once(
    tmp_path: Path, photo: Path
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*RDAE, "compress", photo.name, "-o", "-"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"rdae: standard output: no space left on device\n"


def test_a_man_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"ulimit -f 5; {SHELL_RDAE} help --man-dir man"],
        cwd=tmp_path,
        capture_output=True,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        check=False,
    )
    assert (done.returncode, names(tmp_path / "man")) == (1, ["rdae.1"])
    assert done.stderr == b"rdae: man/rdae-compress.1: file too large\n"


# Readers that go away.


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_takes_only_the_beginning_ends_the_command_quietly(
    tmp_path: Path, large: None, unbuffered: str
) -> None:
    with subprocess.Popen(
        [*RDAE, "decompress", "large.rd", "-o", "-", "--format", "ppm"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=environment({"PYTHONUNBUFFERED": unbuffered}),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(10).startswith(b"P6")
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_batch_whose_reader_is_gone_stops_and_leaves_whole_files(
    tmp_path: Path, photo: Path, photo_rd: bytes, closed: str
) -> None:
    save(tmp_path / "second.png")
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: writer}
    options = ["--json"] if closed == "stdout" else []
    done = subprocess.run(
        [*RDAE, "compress", "photo.png", "second.png", *options],
        cwd=tmp_path,
        env=environment(),
        check=False,
        stdout=streams["stdout"],
        stderr=streams["stderr"],
    )
    os.close(writer)
    assert done.returncode == 141
    assert not done.stdout and not done.stderr
    assert names(tmp_path) == ["photo.png", "photo.rd", "second.png"]
    assert (tmp_path / "photo.rd").read_bytes() == photo_rd


# Rivals.


def test_of_two_that_write_one_name_at_once_one_is_whole(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    whole = []
    for quality in ("10", "90"):
        assert run("compress", "photo.png", "-q", quality, "-o", f"{quality}.rd").code == 0
        whole.append((tmp_path / f"{quality}.rd").read_bytes())

    def both(*options: str) -> tuple[list[int], list[str]]:
        rivals = [
            subprocess.Popen(
                [*RDAE, "compress", "photo.png", "-q", quality, "-o", "x.rd", *options],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                env=environment(),
                text=True,
            )
            for quality in ("10", "90")
        ]
        errors = [rival.communicate()[1] for rival in rivals]
        return [rival.returncode for rival in rivals], errors

    codes, errors = both()
    assert sorted(codes) == [0, 1]
    assert errors[codes.index(1)].startswith("rdae: x.rd: exists\n")
    assert (tmp_path / "x.rd").read_bytes() == whole[codes.index(0)]
    codes, _ = both("-f")
    assert codes == [0, 0] and (tmp_path / "x.rd").read_bytes() in whole
    assert names(tmp_path) == ["10.rd", "90.rd", "photo.png", "x.rd"]


# Links.


def test_a_picture_is_read_through_a_link_and_written_beside_it(
    run: Run, tmp_path: Path, out: Path, photo: Path, photo_rd: bytes
) -> None:
    (out / "link.png").symlink_to("../photo.png")
    (tmp_path / "folder").symlink_to("out")
    assert run("compress", "folder/link.png").code == 0
    assert names(tmp_path) == ["out/link.png", "out/link.rd", "photo.png"]
    assert (out / "link.rd").read_bytes() == photo_rd
    assert (out / "link.png").is_symlink()


def test_an_output_that_is_a_link_is_kept_or_replaced_but_never_followed(
    run: Run, tmp_path: Path, out: Path, photo: Path, photo_rd: bytes
) -> None:
    (out / "precious").write_bytes(b"precious")
    links = {"photo.rd": "out/precious", "nowhere.rd": "out/nothing", "loop.rd": "loop.rd"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    shutil.copy(photo, tmp_path / "nowhere.png")
    shutil.copy(photo, tmp_path / "loop.png")
    images = [f"{link[:-3]}.png" for link in links]
    kept = run("compress", *images)
    assert kept.code == 1
    assert all(f"rdae: {link}: exists" in kept.err for link in links)
    assert all(os.readlink(tmp_path / link) == target for link, target in links.items())
    assert run("compress", "-f", *images).code == 0
    assert not any((tmp_path / link).is_symlink() for link in links)
    assert all((tmp_path / link).read_bytes() == photo_rd for link in links)
    assert names(out) == ["precious"] and (out / "precious").read_bytes() == b"precious"


def test_links_that_lead_nowhere_are_inputs_that_fail_alone(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "nowhere.png").symlink_to("nothing")
    (tmp_path / "loop.png").symlink_to("loop.png")
    result = run("compress", "nowhere.png", "loop.png", "photo.png")
    assert result.code == 1
    assert result.err.splitlines()[:2] == [
        "rdae: nowhere.png: no such file or directory",
        "rdae: loop.png: too many levels of symbolic links",
    ]
    assert (tmp_path / "photo.rd").exists()


@pytest.mark.parametrize(
    "output",
    [
        "photo.rd",
        "out/../photo.rd",
        "folder/../photo.rd",
        "hard.png",
        "soft.png",
        "folder/soft.png",
    ],
)
def test_no_spelling_of_the_input_is_taken_as_output(
    run: Run, tmp_path: Path, out: Path, rd: Path, photo_rd: bytes, output: str
) -> None:
    os.link(rd, tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to("photo.rd")
    (tmp_path / "folder").symlink_to("out")
    (out / "soft.png").symlink_to(rd)
    result = run("decompress", "photo.rd", "-f", "-o", output, "--format", "png")
    assert result.code == 2 and "this output is the input" in result.err
    assert rd.read_bytes() == photo_rd and os.readlink(tmp_path / "soft.png") == "photo.rd"


# Names.


def test_names_of_every_kind_go_both_ways(run: Run, tmp_path: Path, photo: Path) -> None:
    stems = [
        " ",
        "a b",
        "-x",
        "--help",
        "two\nlines",
        "tab\t\x1b[31m",
        "été→😀",
        "e\u0301",
        "*?'\"\\",
    ]
    stems += ["a" * 240, "%s{}", "$(id)", "\udce9"]
    for stem in stems:
        shutil.copy(photo, tmp_path / f"{stem}.png")
    photo.unlink()
    result = run("compress", "--json", "--", *(f"{stem}.png" for stem in stems))
    assert result.code == 0, result.err
    assert [record["output"] for record in result.records[:-1]] == [f"{stem}.rd" for stem in stems]
    for stem in stems:
        (tmp_path / f"{stem}.png").unlink()
    back = run("decompress", *(f"./{stem}.rd" for stem in stems))
    assert back.code == 0
    assert back.err.isprintable() or set(filter(lambda c: not c.isprintable(), back.err)) == {"\n"}
    assert len(back.err.splitlines()) == len(stems) + 1
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {f"{stem}.{kind}" for stem in stems for kind in ("rd", "png")}


def test_a_name_that_becomes_too_long_is_an_error_that_names_the_output(
    run: Run, tmp_path: Path, photo: Path
) -> None:
    name = "a" * 251 + ".png"
    photo.rename(tmp_path / name)
    result = run("compress", name, "--keep-suffix", "--json")
    assert result.code == 1 and names(tmp_path) == [name]
    record = result.records[0]
    assert record["error"]["message"] == "file name too long"
    assert result.err == f"rdae: {name}.rd: file name too long\n"
    assert json.dumps(record["input"]) == f'"{name}"'


def test_a_name_that_no_file_can_have_fails_alone(run: Run, photo: Path) -> None:
    impossible = "a" * 300 + ".png"
    for command, good in (("compress", "photo.png"), ("info", "photo.rd"), ("verify", "photo.rd")):
        found = run(command, impossible, good, "--json")
        assert found.code == 1
        assert [record["ok"] for record in found.records[:2]] == [False, True], found.err
        assert "too long" in found.err
