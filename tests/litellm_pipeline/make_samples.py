"""Makes sample recordings with a real LiteLLM: python -m tests.litellm_pipeline.make_samples OUTDIR

Strategy: one bed with a relay, one question per sample; what the relay wrote is copied as it is. The credentials in the
samples are planted (`sk-planted-…`): made up for this run, and good for nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from .bed import Bed, wsproxy_command
from .questions import BLOCK_DELIVERED, BLOCK_LOST, LONG, TOOL_ALLOWED

SAMPLES = {
    "allowed": TOOL_ALLOWED,
    "blocked-delivered": BLOCK_DELIVERED,
    "blocked-lost": BLOCK_LOST,
    "long-compressed": LONG,
}


async def make_samples(out: Path) -> int:
    """Write the samples to the folder `out`; the number of them that `wsproxy verify` does not find whole."""
    faults = 0
    with tempfile.TemporaryDirectory(prefix="wsproxy-samples-") as folder:
        async with Bed(Path(folder), relay=True) as bed:
            for name, question in SAMPLES.items():
                answer = await bed.ask(question)
                recording = await bed.recording(answer.stream_id)
                sample = Path(shutil.copy(recording.path, out / f"{name}.msgpack"))
                status, printed = await wsproxy_command("verify", str(sample))
                faults += status != 0
                print(printed.rstrip())
    return faults


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.litellm_pipeline.make_samples", description=__doc__)
    options.add_argument("out", type=Path, metavar="OUTDIR")
    out: Path = options.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    sys.exit(1 if asyncio.run(make_samples(out)) else 0)


if __name__ == "__main__":
    main()
