"""`python -m rewardmodel.training RUN_DIR`: the child process of a reward-model run."""

from rewardmodel.training.run import train_reward_model
from runs.child import child_main

if __name__ == "__main__":
    child_main(train_reward_model)
