"""What reading recordings costs at least: read, unpack, inflate, parse the JSON, and think nothing of it."""

import json
import sys
import zlib

import msgpack

for path in sys.argv[1:]:
    inflaters: dict[object, object] = {}
    with open(path, "rb") as file:
        for event in msgpack.Unpacker(file, raw=False, strict_map_key=False, read_size=1 << 18):
            if event["kind"] == "frame" and event["opcode"] == 1:
                data = event["payload"]
                if event["rsv"]:
                    inflater = inflaters.setdefault(event["dir"], zlib.decompressobj(-15))
                    data = inflater.decompress(data + b"\x00\x00\xff\xff")  # type: ignore[attr-defined]
                json.loads(data)
