"""Which files the arguments mean."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from rdae.cli.console import UsageError
from rdae.cli.inputs import RD_EXTENSIONS, expand, split_output
from rdae.images.formats import INPUT_SUFFIXES


def found(
    *arguments: str | Path, recursive: bool = False, files_from: str | None = None
) -> list[str]:
    sources = expand(
        [str(argument) for argument in arguments],
        extensions=INPUT_SUFFIXES,
        recursive=recursive,
        files_from=files_from,
    )
    return [source.name for source in sources]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("t/b.PNG", "t/a.jpg", "t/c.txt", "t/sub/d.tiff", "t/.hidden.png", "t/.git/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_are_taken_as_they_are_named_whatever_their_extension(tree: Path) -> None:
    assert found("t/c.txt", "t/.hidden.png", "missing") == ["t/c.txt", "t/.hidden.png", "missing"]


def test_recursion_takes_images_sorted_and_leaves_hidden_files_out(tree: Path) -> None:
    expected = [os.path.join("t", *name.split("/")) for name in ("a.jpg", "b.PNG", "sub/d.tiff")]
    assert found("t", recursive=True) == expected


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_recursion_does_not_follow_links(tree: Path) -> None:
    (tree / "t" / "loop").symlink_to(tree / "t")
    (tree / "t" / "z.png").symlink_to("b.PNG")
    assert found("t", recursive=True) == ["t/a.jpg", "t/b.PNG", "t/sub/d.tiff"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_link_named_on_the_command_line_is_followed(tree: Path) -> None:
    (tree / "link").symlink_to(tree / "t")
    assert found("link", recursive=True) == ["link/a.jpg", "link/b.PNG", "link/sub/d.tiff"]


def test_a_folder_without_recursion_is_a_failing_input(tree: Path) -> None:
    (source,) = expand(["t"], extensions=INPUT_SUFFIXES)
    assert "is a directory" in str(source.error)


def test_a_folder_without_images_is_a_failing_input(tree: Path) -> None:
    (tree / "empty").mkdir()
    (source,) = expand(["empty"], extensions=INPUT_SUFFIXES, recursive=True)
    assert "holds no file" in str(source.error)


def test_the_same_file_twice_is_one_input(tree: Path) -> None:
    assert found("t/a.jpg", "./t/a.jpg", "t", recursive=True)[0] == "t/a.jpg"
    assert len(found("t/a.jpg", "t", recursive=True)) == 3


@pytest.mark.parametrize("separator", ["\n", "\0"])
def test_a_list_names_more_inputs(tree: Path, separator: str) -> None:
    (tree / "list").write_text(separator.join(["x y.png", "", "-"]) + separator)
    assert found("a.png", files_from="list") == ["a.png", "x y.png", "-"]


def test_a_list_on_standard_input(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.png\nb.png\n")))
    assert found(files_from="-") == ["a.png", "b.png"]


def test_a_missing_list_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError):
        found(files_from="nowhere")


def test_no_input_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no files"):
        found()


def test_standard_input_among_others_is_a_usage_error(tree: Path) -> None:
    with pytest.raises(UsageError, match="only input"):
        found("-", "t/a.jpg")


def test_standard_input_is_one_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"data")))
    (source,) = expand(["-"], extensions=INPUT_SUFFIXES)
    assert (source.path, source.name, source.read()) == (None, "stdin", b"data")


@pytest.mark.skipif(os.name == "nt", reason="symbolic links")
def test_a_name_behind_a_link_and_its_parent_is_a_place_of_its_own(tree: Path) -> None:
    (tree / "t" / "sub" / "deep").mkdir()
    (tree / "link").symlink_to(tree / "t" / "sub" / "deep")
    (tree / "d.tiff").touch()
    # link/.. is t/sub and not this folder
    assert found("d.tiff", "link/../d.tiff") == ["d.tiff", "link/../d.tiff"]
    assert found("t/sub/d.tiff", "link/../d.tiff") == ["t/sub/d.tiff"]


@pytest.mark.parametrize(
    "data",
    [
        b"t/a.jpg\r\nt/b.PNG\r\n",
        b"t/a.jpg\r\nt/b.PNG",
        b"\xef\xbb\xbft/a.jpg\nt/b.PNG\n",
        "\ufefft/a.jpg\r\nt/b.PNG\r\n".encode("utf-16-le"),
        b"t/a.jpg\0t/b.PNG\0",
    ],
)
def test_lists_come_from_windows_too(tree: Path, data: bytes) -> None:
    (tree / "list").write_bytes(data)
    assert found(files_from="list") == ["t/a.jpg", "t/b.PNG"]


def test_a_name_may_end_in_a_carriage_return_where_others_do_not(tree: Path) -> None:
    (tree / "list").write_bytes(b"t/a.jpg\nodd\r\nt/b.PNG\n")
    assert found(files_from="list") == ["t/a.jpg", "odd\r", "t/b.PNG"]


def test_the_second_of_two_names_is_the_output_where_it_can_be_nothing_else(tree: Path) -> None:
    assert split_output(["a.png", "b.rd"], None, RD_EXTENSIONS) == (["a.png"], "b.rd")
    assert split_output(["a.rd", "b.JPG"], None, {".jpg"}) == (["a.rd"], "b.JPG")
    for names in (["a.png", "b.png"], ["a.png", "b.png", "c.rd"], ["a.png"]):
        assert split_output(names, None, RD_EXTENSIONS) == (names, None)
    assert split_output(["a.png", "b.rd"], "c.rd", RD_EXTENSIONS) == (["a.png", "b.rd"], "c.rd")
    (tree / "a.rd").touch()
    with pytest.raises(UsageError, match="exists") as caught:
        split_output(["a.rd", "t/a.jpg"], None, {".jpg"})
    assert caught.value.hint == "-o t/a.jpg -f replaces it"
    for names in (["-", "b.rd"], ["a.png", "-"]):
        with pytest.raises(UsageError, match="no second name") as caught:
            split_output(names, None, RD_EXTENSIONS)
        assert caught.value.hint == f"{names[0]} -o {names[1]}"
    forced = split_output(["a.rd", "t/a.jpg"], None, {".jpg"}, force=True)
    assert forced == (["a.rd"], "t/a.jpg")
    with pytest.raises(UsageError, match="no name of an output") as caught:
        split_output(["a.rd", "b.tga"], None, {".png", ".jpg"})
    assert caught.value.hint == "outputs end in .jpg, .png"
