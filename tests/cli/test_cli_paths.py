"""Where results go, and what is refused before any work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rdae.cli.console import UsageError
from rdae.cli.decompress import choose_format, namer
from rdae.cli.inputs import Source
from rdae.cli.options import FORMAT_OF_EXTENSION, Format
from rdae.cli.paths import Task, check_switches, is_taken, plan, write_output
from rdae.errors import OutputExistsError


def to_rd(place: Path) -> Path:
    return place.with_suffix(".rd")


def outputs(
    *sources: Source,
    output: str | None = None,
    output_dir: Path | None = None,
    name_output: Callable[[Path], Path] = to_rd,
) -> list[Path | None]:
    tasks = plan(
        sources,
        output=output,
        output_dir=output_dir,
        name_output=name_output,
        collision_hint="keep them apart",
    )
    return [task.output for task in tasks]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_output_lies_beside_the_input() -> None:
    assert outputs(Source(Path("a/b.png"))) == [Path("a/b.rd")]


def test_files_named_one_by_one_lie_flat_in_the_output_folder() -> None:
    assert outputs(Source(Path("a/b.png")), output_dir=Path("out")) == [Path("out/b.rd")]


def test_files_found_in_a_folder_keep_their_place_below_it() -> None:
    source = Source(Path("photos/2020/b.png"), root=Path("photos"))
    assert outputs(source, output_dir=Path("out")) == [Path("out/2020/b.rd")]


def test_two_inputs_for_one_output_are_refused_with_both_names(here: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (here / name).touch()
    with pytest.raises(UsageError, match=r"a\.png and a\.jpg would both become a\.rd") as caught:
        outputs(Source(Path("a.png")), Source(Path("a.jpg")))
    assert caught.value.hint == "keep them apart"


def test_two_names_of_one_output_folder_collide(here: Path) -> None:
    (here / "x").mkdir()
    for name in ("a.png", "a.jpg"):
        (here / "x" / name).touch()
    with pytest.raises(UsageError, match="would both become"):
        outputs(Source(Path("x/a.png")), Source(Path("x/../x/a.jpg")))


def test_an_input_that_already_failed_does_not_collide() -> None:
    assert len(outputs(Source(Path("a.png")), Source(Path("a.jpg"), error=ValueError()))) == 2


def test_an_output_that_is_the_input_is_refused(here: Path) -> None:
    (here / "a.rd").touch()
    with pytest.raises(UsageError, match="this output is the input"):
        outputs(Source(Path("a.rd")))


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_an_output_that_is_the_input_by_a_link_is_refused(
    here: Path, link: Callable[[str, str], None]
) -> None:
    (here / "a.png").touch()
    link("a.png", "b.rd")
    with pytest.raises(UsageError, match="this output is the input"):
        outputs(Source(Path("a.png")), output="b.rd")


def test_an_output_that_is_another_input_is_refused(here: Path) -> None:
    for name in ("a.png", "a.rd", "b.png"):
        (here / name).touch()
    with pytest.raises(UsageError, match=r"a\.rd: this output is the input a\.rd"):
        outputs(Source(Path("a.png")), Source(Path("a.rd")), name_output=to_rd)


def test_one_output_for_several_inputs_is_refused() -> None:
    with pytest.raises(UsageError, match="-o takes one input, not 2"):
        outputs(Source(Path("a.png")), Source(Path("b.png")), output="x.rd")


def test_an_output_name_and_an_output_folder_contradict() -> None:
    with pytest.raises(UsageError, match="contradict"):
        outputs(Source(Path("a.png")), output="x.rd", output_dir=Path("out"))


def test_an_output_in_a_missing_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="no folder nowhere"):
        outputs(Source(Path("a.png")), output="nowhere/x.rd")


def test_an_output_that_is_a_folder_is_refused(here: Path) -> None:
    (here / "out").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        outputs(Source(Path("a.png")), output="out")


def test_an_output_that_ends_like_a_folder_is_refused() -> None:
    with pytest.raises(UsageError, match="is a directory"):
        outputs(Source(Path("a.png")), output=f"out{os.sep}")


def test_an_output_folder_that_is_a_file_is_refused(here: Path) -> None:
    (here / "out").touch()
    with pytest.raises(UsageError, match="not a directory"):
        outputs(Source(Path("a.png")), output_dir=Path("out"))


@pytest.mark.parametrize("output", ["-", "/dev/stdout"])
def test_standard_output_has_no_path(output: str) -> None:
    assert outputs(Source(Path("a.png")), output=output) == [None]


def test_standard_input_goes_to_standard_output_or_to_a_named_file() -> None:
    assert outputs(Source(None)) == [None]
    assert outputs(Source(None), output="x.rd") == [Path("x.rd")]


def test_standard_input_has_no_name_in_an_output_folder() -> None:
    with pytest.raises(UsageError, match="no name"):
        outputs(Source(None), output_dir=Path("out"))


def test_an_existing_output_is_an_error_unless_something_was_said(here: Path) -> None:
    taken = here / "a.rd"
    taken.touch()
    with pytest.raises(OutputExistsError):
        is_taken(taken, force=False, skip_existing=False)
    assert is_taken(taken, force=False, skip_existing=True)
    assert not is_taken(taken, force=True, skip_existing=False)
    assert not is_taken(here / "free.rd", force=False, skip_existing=False)


@pytest.mark.parametrize(
    ("task", "switches"),
    [
        (Task(Source(Path("a")), Path("b")), {"force": True, "skip_existing": True}),
        (Task(Source(Path("a")), None), {"as_json": True}),
        (Task(Source(Path("a")), None), {"preserve": True}),
        (Task(Source(None), Path("b")), {"preserve": True}),
    ],
)
def test_contradicting_switches_are_refused(task: Task, switches: dict[str, bool]) -> None:
    given = {"force": False, "skip_existing": False, "preserve": False, "as_json": False}
    with pytest.raises(UsageError):
        check_switches([task], **{**given, **switches})


def test_an_output_folder_is_made_when_it_is_needed(here: Path) -> None:
    task = Task(Source(Path("a")), Path("new/deep/a.rd"))
    assert write_output(task, lambda file: file.write(b"data"), overwrite=False) == 4
    assert (here / "new/deep/a.rd").read_bytes() == b"data"


@pytest.mark.parametrize(
    ("existing", "name", "expected"),
    [
        ([], "photo.rd", "photo.png"),
        (["photo.png"], "photo.rd", "photo.rd.png"),
        (["photo.png", "photo.rd.png"], "photo.rd", "photo.rd.png"),
        ([], "photo.RD", "photo.png"),
        ([], "photo.png.rd", "photo.png"),
        (["photo.png"], "photo.png.rd", "photo.png.rd.png"),
        ([], "photo.jpg.rd", "photo.jpg.png"),
        ([], "photo", "photo.png"),
        (["photo.png"], "photo", "photo.rd.png"),
        ([], "a.b.rd", "a.b.png"),
    ],
)
def test_a_picture_takes_the_name_that_is_free(
    here: Path, existing: list[str], name: str, expected: str
) -> None:
    for other in existing:
        (here / other).touch()
    assert namer(Format.png)(Path(name)) == Path(expected)


def test_with_skip_existing_the_first_name_stands(here: Path) -> None:
    (here / "photo.png").touch()
    assert namer(Format.png, skip_existing=True)(Path("photo.rd")) == Path("photo.png")


@pytest.mark.parametrize(
    ("output", "format", "expected"),
    [
        (None, None, Format.png),
        ("x.JPEG", None, Format.jpg),
        ("x.tif", None, Format.tiff),
        ("x.tif", Format.tiff, Format.tiff),
        ("x", Format.webp, Format.webp),
        ("-", None, Format.png),
        ("-", Format.ppm, Format.ppm),
        (os.devnull, None, Format.png),
    ],
)
def test_the_format_comes_from_the_extension_or_the_option(
    output: str | None, format: Format | None, expected: Format
) -> None:
    assert choose_format(output, format) is expected


@pytest.mark.parametrize(
    ("output", "format"), [("x.gif", None), ("x", None), ("x.png", Format.jpg)]
)
def test_a_format_that_cannot_be_told_is_refused(output: str, format: Format | None) -> None:
    with pytest.raises(UsageError):
        choose_format(output, format)


def test_our_formats_are_those_that_the_library_writes() -> None:
    from rdae.images.formats import OUTPUT_FORMATS

    assert [format.value for format in Format] == [format.name for format in OUTPUT_FORMATS]
    for format in Format:
        assert FORMAT_OF_EXTENSION[f".{format.value}"] is format
