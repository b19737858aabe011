"""What `lm.launch` launches in its tests: `python -m tests.lm.ranks DIRECTORY HOW...`, one HOW for each process.

done        ends well at once
linger      ends well after a moment
stay        stays until it is killed
code N      (written code3) ends with exit code N
kill        is killed
until-told  ends with code 5 when it is told to stop
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

if __name__ == "__main__":
    directory, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    how = sys.argv[2 + rank]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    seen = {name: os.environ[name] for name in names} | {"group": os.getpgrp()}
    partial = directory / f".{rank}"
    partial.write_text(json.dumps(seen))
    partial.rename(directory / f"{rank}.json")
    if how == "stay":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how in ("stay", "until-told"):
        time.sleep(600)
    if how == "linger":
        time.sleep(0.5)
        (directory / "finished").touch()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(int(how.removeprefix("code")) if how.startswith("code") else 0)
