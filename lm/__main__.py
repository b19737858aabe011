"""`python -m lm RUN_DIR` does a generation run."""

from lm.generation import generate
from runs.child import child_main

if __name__ == "__main__":
    child_main(generate)
