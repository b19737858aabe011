"""`python -m rl.training RUN_DIR`: the child process of a policy run or an evaluation."""

from rl.training.work import work
from runs.child import child_main

if __name__ == "__main__":
    child_main(work)
