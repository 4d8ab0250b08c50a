"""`floor.py [--parse] FILES`: what reading recordings costs at least: read and unpack; with --parse inflate and parse the JSON too."""

import json
import sys
import zlib

import msgpack

parse = "--parse" in sys.argv
for path in sys.argv[1 + parse :]:
    inflaters: dict[object, object] = {}
    with open(path, "rb") as file:
        for event in msgpack.Unpacker(file, raw=False, strict_map_key=False, read_size=1 << 18):
            if parse and event["kind"] == "frame" and event["opcode"] == 1:
                data = event["payload"]
                if event["rsv"]:
                    inflater = inflaters.setdefault(event["dir"], zlib.decompressobj(-15))
                    data = inflater.decompress(data + b"\x00\x00\xff\xff")  # type: ignore[attr-defined]
                json.loads(data)
