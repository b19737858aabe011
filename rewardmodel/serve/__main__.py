"""`python -m rewardmodel.serve DIRECTORY`: a saved reward model as an HTTP server. See docs/serving.md."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from rewardmodel.serve.batching import Batcher
from rewardmodel.serve.protocol import Desk, member_scores
from rewardmodel.serve.server import RewardServer
from rewardmodel.training.scoring import load_scorer
from runs.child import UserError

MEBI = 2**20


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        scorer = load_scorer(options.directory, device=options.device)
        if options.dimension and options.dimension not in scorer.dimensions:
            raise UserError(f"This model has no dimension {options.dimension}. It has {', '.join(scorer.dimensions)}.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    on_gpu = scorer.net.classifier.device.type == "cuda"
    batch_tokens = options.batch_tokens or (16384 if on_gpu else 2048)
    batcher = Batcher(
        member_scores(scorer, batch_tokens),
        batch_tokens=batch_tokens,
        max_delay=options.max_batch_delay,
        max_waiting=options.max_waiting_tokens,
    )
    desk = Desk(scorer, batcher, dimension=options.dimension, max_responses=options.max_responses)
    try:
        server = RewardServer((options.host, options.port), desk, max_body=options.max_body * MEBI)
    except OSError as error:
        batcher.close()
        print(f"Cannot listen at {options.host}:{options.port}: {error.strerror or error}.", file=sys.stderr)
        return 2
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, name="accept", daemon=True).start()
    host = f"[{options.host}]" if ":" in options.host else options.host
    print(f"Serving {', '.join(scorer.dimensions)} at http://{host}:{server.server_port}", flush=True)
    stop.wait()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)  # whoever asks twice does not want to wait
    print("Answering what has been asked, then stopping.", flush=True)
    batcher.hurry()
    server.drain()
    batcher.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rewardmodel.serve", description="Serve a saved reward model over HTTP."
    )
    add = parser.add_argument
    add("directory", type=Path, help="the reward model's directory")
    add("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for every network [%(default)s]")
    add("--port", type=int, default=5000, help="0 takes a free one [%(default)s]")
    add("--dimension", help="what /get_reward answers with; needed if the model scores several")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... [%(default)s]")
    add("--batch-tokens", type=_positive, help="tokens of one forward [2048 on a CPU, 16384 on a GPU]")
    add("--max-batch-delay", type=float, default=0.005, help="seconds to wait for company [%(default)s]")
    add("--max-responses", type=_positive, default=4096, help="of one request [%(default)s]")
    add("--max-waiting-tokens", type=_positive, default=4 * MEBI, help="beyond which we are busy [%(default)s]")
    add("--max-body", type=_positive, default=64, help="of one request, in MiB [%(default)s]")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    sys.exit(main())
