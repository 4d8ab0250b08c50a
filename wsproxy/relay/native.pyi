"""The hot path in C: see `native.c`. It may be missing; `quick` asks."""

from collections.abc import Mapping

from ..wire.frames import FrameStream

SOURCE: str  # SHA-256 of the `native.c` that was built

def prepare(classes: tuple[type, ...], first: tuple[bytes, ...], constants: tuple[bytes, ...]) -> None:
    """What the C code has to know; before a `Server` is made. May be called again.

    Args:
        classes: whose slots it works on: Flow, End, ConnectionRecorder, Track, FrameStream, WholeFramePacker, Stream, RecordingWriter,
            Disk.
        first: of a frame's msgpack, what its first byte says (256).
        constants: MASK, PLAIN, PAYLOAD, FRAME, ODD_FRAME, PART, TIME_NEXT, OFFSET, LENGTH, FORM of `recording.frame_packer`.

    Raises:
        TypeError: a class lacks a slot.
    """

def pack(data: bytes, cut: FrameStream, start: bytes, t: int, /) -> tuple[int, bytes]:
    """How many events `data` is, and their msgpack; (0, b"") where it may be anything else than ordinary frames and parts of such.

    Args:
        cut: the frames of this direction so far; where the data was taken, it has had it then.
        start: of the map, as the direction's packer has it.
        t: nanoseconds since the recording's start.
    """

class Server:
    """Serves spliced sockets: a `Flow` here, as far as it can be, and all else by its `ready`. All methods but `drop` are for the loop's thread,
    whose scheduling policy is SCHED_BATCH while streams are backed up, if it was SCHED_OTHER.

    Args:
        read_size: bytes of one read at most.
        epoll: the descriptor.
        served: what serves a descriptor.
    """

    def __init__(self, read_size: int, epoll: int, served: Mapping[int, object]) -> None: ...
    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]:
        """As `select.epoll.poll`, but what is in `served` is served, and what is returned is the rest."""
    def drop(self) -> None:
        """What the running `poll` has not served yet is told again."""
