"""What turns a lossy file into an exact one: a chunk L, and a chunk R for each tile.

The chunk L stands before the tiles and names the lossless model. The chunks R follow the lossy
tiles and code each one's pixels given those of the lossy picture (FORMAT.md, section 14.10). A
reader that wants no more than the lossy picture stops before them.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdae.bitstream.chunks import REST_BYTES, Chunk, checked_payload, pack_checked
from rdae.bitstream.header import Header
from rdae.errors import CorruptError
from rdae.scales import MAX_ERROR

__all__ = ["Rest"]


@dataclass(frozen=True)
class Rest:
    """The fields of a chunk L.

    Attributes:
        model_id: permanent number of the lossless model, 1 to 255.
        fingerprint: of it, 4 bytes.
        max_error: the largest error of a sample, 0 to 15; 0 for exact pixels.
    """

    model_id: int
    fingerprint: bytes
    max_error: int

    def pack(self, header: Header) -> bytes:
        """Return the chunk as it stands in a file with that header."""
        fields = bytes((self.model_id,)) + self.fingerprint + bytes((self.max_error,))
        return pack_checked("L", fields, header.pack())

    @classmethod
    def of(cls, chunk: Chunk) -> Rest:
        """Return the fields of a chunk, whatever its checksum says.

        Raises:
            CorruptError: a field has an illegal value.
        """
        model_id, *fingerprint, max_error = chunk.payload
        assert len(chunk.payload) == REST_BYTES  # `read_chunk` has seen to it
        if model_id == 0:
            raise CorruptError("the lossless model's id is 0, it must be 1 to 255")
        if max_error > MAX_ERROR:
            raise CorruptError(f"the largest error is {max_error}, it must be 0 to {MAX_ERROR}")
        return cls(model_id, bytes(fingerprint), max_error)

    @classmethod
    def checked(cls, chunk: Chunk, header: Header) -> Rest:
        """Return the fields of a chunk of a file with that header.

        Raises:
            CorruptError: the checksum does not match, or a field has an illegal value.
        """
        checked_payload(chunk, header.pack())
        return cls.of(chunk)
