"""The browser's decoder, run by Node.js: the same pixels, the same refusals, the same kernel."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import subprocess
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rdae
from rdae.bitstream.chunks import pack_checked, pack_chunk, scan
from rdae.bitstream.header import read_header
from rdae.bitstream.varint import ByteReader
from rdae.codec import decode, encode
from rdae.errors import RdaeError
from rdae.images.picture import Picture
from rdae.scales import point_to_quality

ROOT = Path(__file__).parent.parent
WEB = ROOT / "web"
GOLDEN = ROOT / "tests" / "golden"
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
WEIGHTS = [ROOT / "weights" / f"{name}.safetensors" for name in ("photo", "lossless")]
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.skipif(not WEB.is_dir(), reason="needs the checkout"),
    pytest.mark.skipif(NODE is None, reason="needs Node.js"),
]


def by_node(paths: list[Path], build: str = "simd") -> list[dict[str, Any]]:
    """What the browser's decoder finds in some files; one that hangs is stopped, and fails."""
    command = [str(NODE), str(ROOT / "tests" / "web" / "decode.mjs"), build, *map(str, WEIGHTS)]
    names = "".join(f"{path}\n" for path in paths)
    done = subprocess.run(command, input=names, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_python(path: Path) -> dict[str, Any] | None:
    """The same of Python's decoder; None for an error."""
    try:
        picture = decode(path.read_bytes())
    except RdaeError:
        return None
    parts = {"pixels": picture.rgb.tobytes(), "icc": picture.icc}
    if picture.alpha is not None:
        parts["alpha"] = picture.alpha.tobytes()
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items() if part}


def test_golden_files_and_odd_sizes_have_the_same_pixels() -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())
    paths = [GOLDEN / f"{name}.rd" for name in expected]
    paths += [
        path for kind in ("rgb", "grey", "alpha") for path in sorted(CORPUS.glob(f"{kind}-*"))
    ]
    assert by_node(paths) == [by_python(path) for path in paths]


def test_the_plain_kernel_gives_the_same_pixels() -> None:
    names = ("noise-q100", "alpha-q70", "pixel-q50", "lossless-rgb", "max-error-3-neutral")
    paths = [GOLDEN / f"{name}.rd" for name in names]
    expected = json.loads((GOLDEN / "expected.json").read_text())
    found = by_node(paths, "plain")
    assert [one["pixels"] for one in found] == [expected[path.stem]["pixels"] for path in paths]


def test_the_probe_finds_the_instructions_that_node_has() -> None:
    script = "import { hasSimd } from './kernel.js'; process.exit(hasSimd() ? 0 : 1);"
    command = [str(NODE), "--input-type=module", "-e", script]
    assert subprocess.run(command, cwd=WEB).returncode == 0


def test_the_own_sha256_is_that_of_python() -> None:
    sizes = [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000]
    script = f"""import {{ digest }} from './sha256.js';
    for (const size of {sizes}) {{
      const data = new Uint8Array(size).map((_, i) => 7 * i);
      console.log(Buffer.from(digest(data)).toString('hex'));
    }}"""
    command = [str(NODE), "--input-type=module", "-e", script]
    found = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True).stdout
    inputs = [bytes(7 * i % 256 for i in range(size)) for size in sizes]
    assert found.split() == [hashlib.sha256(data).hexdigest() for data in inputs]


# zlib streams with codes of their own, of which one leaves others unused. With the distances a code
# of one bit and of two, with the end the same.
HEAD = "789c05e00104"
STREAMS = {
    "distance 1": HEAD + 4 * "00" + "10" + 8 * "00" + "08" + 23 * "00" + "4c00c50083",
    "distance 2": HEAD + 3 * "00" + "8020" + 8 * "00" + "08" + 23 * "00" + "680200c50083",
    "end 1": HEAD + 4 * "00" + "10" + 32 * "00" + "0400000001",
    "end 2": HEAD + 3 * "00" + "40" + 33 * "00" + "0400000001",
}


def test_zlib_streams_are_taken_and_refused_as_zlib_does() -> None:
    script = f"""import {{ inflate }} from './inflate.js';
    for (const hex of {list(STREAMS.values())})
      try {{
        console.log(Buffer.from(inflate(Buffer.from(hex, 'hex'), 9)).toString());
      }} catch (error) {{
        console.log(error.code);
      }}"""
    command = [str(NODE), "--input-type=module", "-e", script]
    found = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True).stdout
    wanted = []
    for stream in STREAMS.values():
        try:
            wanted.append(zlib.decompress(bytes.fromhex(stream)).decode())
        except zlib.error:
            wanted.append("corrupt")
    assert found.split("\n")[:-1] == wanted == ["AA", "corrupt", "", "corrupt"]


LOSSY = [GOLDEN / f"{name}.rd" for name in ("noise-q100", "alpha-q70", "pixel-q50")]
LOSSY += [CORPUS / "alpha-17x33.rd", CORPUS / "grey-1x1.rd"]


def damaged(sources: list[Path], count: int, folder: Path) -> list[Path]:
    """Files with bytes changed, removed, put in, or cut off."""
    rng = np.random.default_rng(7)
    paths = []
    for number in range(count):
        data = bytearray(sources[number % len(sources)].read_bytes())
        at = int(rng.integers(len(data) if number % 2 else min(40, len(data))))
        match number % 5:
            case 0 | 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                del data[at : at + int(rng.integers(1, 9))]
            case 3:
                data[at:at] = rng.integers(0, 256, 3, np.uint8).tobytes()
            case 4:
                del data[at:]
        paths.append(folder / f"{number}.rd")
        paths[-1].write_bytes(data)
    return paths


def check_damaged(paths: list[Path]) -> None:
    for path, found in zip(paths, by_node(paths), strict=True):
        expected = by_python(path)
        assert ("error" in found) if expected is None else (found == expected), (path, found)


def test_damaged_files_are_refused_as_python_refuses_them(tmp_path: Path) -> None:
    check_damaged(damaged(LOSSY, 60, tmp_path))


@pytest.mark.slow
def test_five_hundred_damaged_files_are_refused_as_python_refuses_them(tmp_path: Path) -> None:
    check_damaged(damaged(LOSSY, 500, tmp_path))


def rescued(paths: list[Path]) -> list[dict[str, Any]]:
    """What is left of damaged files for the browser's decoder."""
    command = [str(NODE), str(ROOT / "tests" / "web" / "rescue.mjs"), *map(str, WEIGHTS)]
    names = "".join(f"{path}\n" for path in paths)
    done = subprocess.run(command, input=names, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_left_of_a_damaged_file_is_shown(tmp_path: Path) -> None:
    waves = np.sin(np.add.outer(np.arange(40) / 9, np.arange(1100) / 30)) * 90 + 120
    alpha = np.full((40, 1100), 200, np.uint8)
    whole = encode(
        Picture(waves.astype(np.uint8)[..., None].repeat(3, 2), alpha, is_grey=False)
    ).data
    end = len(whole)
    files = {
        "whole": whole,
        "stream": whole[: end - 12] + bytes([whole[end - 12] ^ 1]) + whole[end - 11 :],
        "cut": whole[: end - 12],
        "more": whole + b"behind the end",
        "alpha": whole[:40] + bytes([whole[40] ^ 1]) + whole[41:],
        "length": whole[: end - 13] + whole[end - 12 :],
        "nothing": whole[: end // 3],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = dict(zip(files, rescued([tmp_path / name for name in files]), strict=True))
    assert found["whole"] == {"damage": []} and found["nothing"] == {"error": "truncated"}
    parts = {name: [one["part"] for one in found[name].get("damage", [])] for name in files}
    assert parts["stream"] == parts["cut"] == parts["length"] == ["tile"]
    assert parts["more"] == ["bytes"] and parts["alpha"] == ["alpha"]
    place = {"index": 1, "x": 1024, "y": 0, "width": 76, "height": 40}
    assert found["stream"]["damage"][0]["tile"] == place
    pixels = {
        name: np.frombuffer((tmp_path / f"{name}.rgba").read_bytes(), np.uint8).reshape(40, 1100, 4)
        for name in parts
        if "damage" in found[name]
    }
    expected = pixels["whole"]
    assert np.array_equal(expected[..., 3], alpha)
    assert np.array_equal(pixels["more"], expected)
    assert np.array_equal(pixels["alpha"][..., :3], expected[..., :3])
    assert (pixels["alpha"][..., 3] == 255).all()
    for name in ("stream", "cut", "length"):
        # What is filled in has the colours beside it, and reaches as far as the synthesis sees.
        assert np.array_equal(pixels[name][:, :900], expected[:, :900])
        assert not np.array_equal(pixels[name][:, 1024:], expected[:, 1024:])
        edge = pixels[name][:, 1026:1040, :3].mean() - expected[:, 1008:1022, :3].mean()
        assert abs(edge) < 40


@pytest.mark.filterwarnings("ignore::rdae.errors.DamageWarning")
def test_what_is_wrong_inside_of_sound_chunks_costs_only_these(tmp_path: Path) -> None:
    two, alpha = ((GOLDEN / f"{name}.rd").read_bytes() for name in ("two-tiles-q30", "alpha-q70"))

    def parts(data: bytes) -> tuple[bytes, bytes, list[tuple[str, bytes, int]]]:
        reader = ByteReader(data)
        header = read_header(reader)
        chunks = [(c.type, bytes(c.body), c.offset) for c in scan(reader, header)]
        return data[: chunks[0][2]], header.pack(), chunks

    def flipped(letter: str, bit: int) -> bytes:
        """The first chunk of that type with one bit of its length changed."""
        data = bytearray(two)
        data[next(at for type, _, at in parts(two)[2] if type == letter) + 1] ^= bit
        return bytes(data)

    def replaced(letter: str, payload: bytes, prefix: bytes = b"") -> bytes:
        """Metadata or alpha of other contents, with the right check."""
        return parts(alpha)[0] + b"".join(
            pack_checked(type, payload, prefix) if type == letter else pack_chunk(type, body)
            for type, body, _ in parts(alpha)[2]
        )

    start, canonical, _ = parts(two)
    plane = b"\0" + zlib.compress(bytes(70 * 90 - 1))  # a sample too few
    files = {
        "y": (flipped("Y", 0x40), "tile"),
        "c": (flipped("C", 0x10), "tile"),
        "icc": (replaced("i", b"no zlib stream"), "icc"),
        "alpha": (replaced("A", plane, parts(alpha)[1]), "alpha"),
        "no place": (start + pack_checked("A", plane, canonical) + two[len(start) :], "alpha"),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
        assert rdae.decompress(data, best_effort=True).size
    found = dict(zip(files, rescued([tmp_path / name for name in files]), strict=True))
    for name, (_, part) in files.items():
        assert [one["part"] for one in found[name]["damage"]] == [part], (name, found[name])


def test_qualities_are_those_of_python() -> None:
    script = """import { qualityOf } from './viewer/facts.js';
    for (let point = 0; point < 256; point++) console.log(qualityOf(point));"""
    command = [str(NODE), "--input-type=module", "-e", script]
    found = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True).stdout
    wanted = [point_to_quality(point) for point in range(256)]
    assert [float(line) for line in found.split()] == pytest.approx(wanted, abs=0.051)


def test_an_address_with_a_stray_percent_sign_names_a_file_all_the_same() -> None:
    script = """
      const names = ["a/b%20c.rd", "100%.rd", "http://["].map(encodeURIComponent);
      globalThis.location = { search: "?src=" + names.join("&src="), href: "http://here/v.html" };
      const { ofAddress } = await import("./viewer/sources.js"), sources = ofAddress();
      const why = await sources[2].read().catch((error) => error.message);
      console.log(JSON.stringify([...sources.map(({ name }) => name), why]));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["b c.rd", "100%.rd", "[", "Invalid URL"]


def test_large_pictures_are_not_decoded_again_and_again() -> None:
    script = """
      globalThis.createImageBitmap = async () => ({ width: 9, height: 9, close() {} });
      globalThis.ImageData = class {};
      const { Library } = await import("./viewer/library.js");
      const decoded = [], picture = { width: 8000, height: 5000, metadata: {} };
      const decode = async ([number]) => (decoded.push(number), { ...picture });
      const library = new Library({ decode });
      library.addEventListener("changed", () => decoded.length > 99 && process.exit(1));
      const names = ["0", "1", "2", "3"];
      library.add(names.map((name) => ({ name, read: async () => Uint8Array.of(name) })));
      await new Promise((done) => setTimeout(done, 100));
      for (let i = 0; i < 2; i++) {
        decoded.push("next");
        library.step(1);
        await new Promise((done) => setTimeout(done, 100));
      }
      const kept = library.items.filter(({ picture }) => picture).map(({ name }) => name);
      console.log(JSON.stringify([decoded, kept]));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    # The next one is there before it is wanted; the one before may have to go.
    assert json.loads(done.stdout) == [[0, 1, "next", 2, "next", 3], ["2", "3"]]


def test_what_cannot_be_fetched_whole_is_an_error_with_a_code() -> None:
    script = """
      globalThis.document = { baseURI: "http://here/" };
      globalThis.location = { search: "?src=a.rd", href: "http://here/v.html" };
      const { Decoder } = await import("./rdae.js");
      const { ofAddress } = await import("./viewer/sources.js");
      const pull = (piece) => piece.error(new TypeError("cut"));
      const broken = () => new Response(new ReadableStream({ pull }));
      const page = () => new Response("<!doctype html>"), other = () => new Response("[]");
      const why = ({ code, message }) => `${code} ${message}`, found = [];
      for (globalThis.fetch of [broken, page, other].map((answer) => async () => answer()))
        found.push(await new Decoder("weights").list().catch(why));
      globalThis.fetch = async () => broken();
      found.push(await new Decoder("weights/").weightsOf({ file: "a" }).catch(why));
      found.push(await ofAddress()[0].read().catch(why));
      console.log(JSON.stringify(found));
    """
    command = [str(NODE), "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=True)
    listed = "unavailable http://here/weights/manifest.json: "
    assert json.loads(done.stdout) == [
        f"{listed}cut",
        f"{listed}this is no list of models",
        f"{listed}this is no list of models",
        "unavailable http://here/weights/a: cut",
        "unavailable it cannot be fetched; the connection or the server has gone",
    ]


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs ziglang")
def test_the_kernel_is_what_its_sources_are_compiled_to(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("web_build", WEB / "kernel" / "build.py")
    assert spec is not None and spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    if version("ziglang") != builder.COMPILER:
        pytest.skip(f"needs ziglang {builder.COMPILER}")
    for path in builder.build(tmp_path):
        assert path.read_bytes() == (WEB / path.name).read_bytes(), "run python web/kernel/build.py"


@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs TypeScript's tsc")
def test_the_types_in_the_comments_hold() -> None:
    options = "--noEmit --checkJs --allowJs --strict --target es2022 --module nodenext"
    files = [
        str(WEB / name) for name in ("rd-image.js", "viewer.js", "worker.js", "service-worker.js")
    ]
    libraries = ["--moduleResolution", "nodenext", "--lib", "es2022,dom,dom.iterable"]
    command = [str(shutil.which("tsc")), *options.split(), *libraries, *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
