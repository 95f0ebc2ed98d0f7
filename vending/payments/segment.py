"""Segments of the spool: frames on disk, and what of them can be believed after a crash.

A frame is a head of 16 bytes (mark, length, checksum of the payload, checksum of the head) and a
payload. The head has its own checksum so that a damaged length is not taken for the end of a file
that a crash cut short: the first is an alarm, the second is what a power cut does.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MARK = b"STP1"
"""What each frame begins with; the digit is the version of this layout."""

SUFFIX = ".spool"

_HEAD = struct.Struct(">4sIII")
_UNSUMMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes of a segment that are no frame.

    `torn` is the end of a file whose last write never finished: nobody was told that it had.
    Anything else may have been acknowledged, and a person must look.
    """

    offset: int
    torn: bool
    found: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of the spool as it was read: payloads in the order of writing, and damage."""

    path: Path
    entries: list[bytes | Damage] = field(repr=False)


def frame(payload: bytes) -> bytes:
    """Return a payload as it is written."""
    head = MARK + struct.pack(">II", len(payload), zlib.crc32(payload))
    return head + zlib.crc32(head).to_bytes(4, "big") + payload


def read(path: Path) -> Segment:
    """Return a segment's payloads and damage. Raises OSError when the disk does not give it."""
    return Segment(path, list(frames(path.read_bytes())))


def frames(written: bytes) -> Iterator[bytes | Damage]:
    """Yield each payload of a segment's bytes, and each stretch that is none as Damage."""
    offset = 0
    while offset < len(written):
        length = _length_at(written, offset)
        end = offset + _HEAD.size + (length or 0)
        if length is not None and end <= len(written):
            payload = written[offset + _HEAD.size : end]
            if zlib.crc32(payload) == _payload_sum(written, offset):
                yield payload
            else:
                # The head is whole, so the next frame's place is known: what looks like a frame
                # inside a damaged payload is not one.
                yield Damage(offset=offset, torn=False, found=written[offset:end])
            offset = end
            continue
        end = len(written) if length is not None else _next_head(written, offset + 1)
        found = written[offset:end]
        torn = end == len(written) and (length is not None or _is_cut_short(found))
        yield Damage(offset=offset, torn=torn, found=found)
        offset = end


def _length_at(written: bytes, offset: int) -> int | None:
    """Return the payload's length by the head at an offset; None when no sound head is there."""
    head = written[offset : offset + _HEAD.size]
    if len(head) < _HEAD.size or not head.startswith(MARK):
        return None
    _mark, length, _payload_sum, head_sum = _HEAD.unpack(head)
    return length if zlib.crc32(head[:_UNSUMMED]) == head_sum else None


def _payload_sum(written: bytes, offset: int) -> int:
    return int.from_bytes(written[offset + 8 : offset + _UNSUMMED], "big")


def _next_head(written: bytes, offset: int) -> int:
    """Return where the next sound head is; the end when there is none."""
    while (offset := written.find(MARK, offset)) >= 0:
        if _length_at(written, offset) is not None:
            return offset
        offset += 1
    return len(written)


def _is_cut_short(found: bytes) -> bool:
    """Whether a file's last bytes are the beginning of a head, or space that was never written."""
    part_of_head = len(found) < _HEAD.size and found.startswith(MARK[: len(found)])
    return part_of_head or not any(found)


def create(path: Path) -> int:
    """Make an empty segment whose name survives a power cut; return its descriptor."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        sync_directory(path.parent)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove(path: Path) -> int:
    """Remove a segment for good and return how many bytes it had; one that is gone had none."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        size = 0
    sync_directory(path.parent)
    return size


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable: a synced file in an unsynced directory can vanish."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
