"""Learning from sampled responses: one loop for PPO, GRPO, RLOO, REINFORCE++ and rejection sampling.

A step samples responses, judges them, estimates advantages, and updates the policy for some epochs of minibatches;
weights change nowhere else. What an algorithm is lies in `advantages` and in the loss of a token. The details of PPO
follow InstructGPT (Ouyang et al. 2022) and 'The N implementation details of RLHF with PPO' (Huang et al. 2023).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lm.checkpoint import load_state, save_state
from lm.config import Sampling
from lm.optim import make_optimizer
from lm.prefix import Group, backbone
from lm.processes import ALONE, World
from rewardmodel.training.interrupt import Interrupted, interruptible
from rl.training import estimators
from rl.training.actor import Actor, load_actor, write_card, write_policy
from rl.training.alarms import FIRST_STEPS, Alarm, hacking_alarms, step_alarms
from rl.training.best import Best
from rl.training.config import ClippedSettings, OnlineSettings, PPOConfig
from rl.training.figures import described, memory_of
from rl.training.judge import Judge
from rl.training.measuring import Measured, best_of_n, gain, measure
from rl.training.prompts import Prompt, deal, encode_prompts, fitting_prompt_tokens, held_out, read_prompts
from rl.training.rollout import roll_out
from rl.training.samples import show_samples
from rl.training.supervised import demonstrations
from rl.training.update import NotANumber, Updater
from runs.child import RunDir, Stopped, UserError

ADAM_EPS = 1e-5


def train_online(run: RunDir, config: OnlineSettings, world: World = ALONE) -> None:
    """Train on inputs {"prompts", "model", "adapter", "models_dir"} and those of `Judge.load`; leave a policy.

    {"dataset"} too, for the language-model mix of PPO. What it leaves in `run.output` is the best or last policy, as
    the configuration says; also where the run was cancelled, so that its work is not lost. Of several processes all
    train, and the main one saves.
    """
    raw = read_prompts(run.inputs["prompts"])
    run.progress(0, config.steps, "loading the models")
    judge = Judge.load(config, run.inputs)
    actor = load_actor(config, run.inputs, keep_reference=True)
    longest = fitting_prompt_tokens(actor.model, config.max_prompt_tokens, config.max_response_tokens)
    prompts = encode_prompts(raw, actor.chat, longest)
    judge.check_prompts(prompts)
    cut = sum(prompt.cut for prompt in prompts)
    most = config.held_out_prompts if config.evaluate_every else 0
    train, kept = held_out(prompts, most, config.seed)
    run.log("Read the prompts.", prompts=len(train), held_out=len(kept), prompts_cut=cut)
    mixed = demonstrations(run.inputs, config, actor) if isinstance(config, PPOConfig) and config.ptx_coef else []
    trainer = OnlineTrainer(run, config, actor, judge, train, kept, mixed, world)
    try:
        with trainer.interruptible():
            trainer.fit()
    except Interrupted:
        trainer.save_if_whole()
        if run.is_main and trainer.best.step is not None:
            trainer.write()
            write_card(run, trainer.result())
        raise Stopped from None
    if not run.is_main:
        return
    run.progress(config.steps, config.steps, "saving")
    trainer.write()
    result = trainer.result() | {"prompts_cut": cut, "memory": memory_of(actor, trainer.updater, judge)}
    write_card(run, result)
    run.result(**result)


class OnlineTrainer:
    """The loop alone: it neither reads files nor decides what is written at the end."""

    def __init__(
        self,
        run: RunDir,
        config: OnlineSettings,
        actor: Actor,
        judge: Judge,
        prompts: Sequence[Prompt],
        kept: Sequence[Prompt] = (),
        mixed: Sequence[Group] = (),
        world: World = ALONE,
    ) -> None:
        self.run, self.config, self.actor, self.judge, self.world = run, config, actor, judge, world
        self.prompts, self.kept = list(prompts), list(kept)
        self.policy_parameters = dict(actor.parameters)
        self.critic = actor.add_critic(config) if isinstance(config, PPOConfig) else None
        if isinstance(config, PPOConfig) and config.critic == "reward_model" and self.critic and judge.model:
            why = self.critic.adopt(judge.model)
            run.log(f"The critic starts from zero: {why}." if why else "The critic starts as the reward model.")
        critic = self.critic.parameters if self.critic else {}
        self.parameters = self.policy_parameters | {f"critic.{name}": value for name, value in critic.items()}
        for parameter in self.parameters.values():  # PEFT switches off whoever is not worn
            parameter.requires_grad_(True)
        optimizer = make_optimizer(self.parameters.values(), config.learning_rate, config.weight_decay, eps=ADAM_EPS)
        self.updater = Updater(config, actor, self.critic, optimizer, mixed, world)
        self.best = Best(run.path, self.policy_parameters, writes=run.is_main)
        self.kl_coef = config.kl_coef if isinstance(config, ClippedSettings) else 0.0
        self.moments = estimators.RunningMoments()
        self.step = 0
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}
        self.lengths: list[float] = []  # of the first steps, to compare later ones with
        self.measured: list[Measured] = []
        self.best_measured: Measured | None = None
        self.best_of_n: list[dict[str, Any]] = []  # of the start model, by n
        self.alarms: list[Alarm] = []
        self.stopped = ""
        self.saved_step = 0
        self._saved_step = -1
        self._whole = True  # whether the weights are those of the end of a step

    def interruptible(self):  # type: ignore[no-untyped-def]
        return interruptible(backbone(self.actor.model), self._asked_to_stop)

    def fit(self) -> None:
        """Train to the end, from the last checkpoint if there is one."""
        self._resume()
        if self._measure_due():
            self._measure()
        if self.step == 0:
            self._show()
        while self.step < self.config.steps and not self.stopped:
            self._one_step()
        self.save()

    def _one_step(self) -> None:
        config, began = self.config, time.monotonic()
        self.run.progress(self.step, config.steps, "sampling")
        chosen = [self.prompts[i] for i in deal(len(self.prompts), self.step, config.prompts_per_step, config.seed)]
        rollout = roll_out(
            self.actor,
            self.judge,
            chosen,
            config,
            self.step,
            critic=self.critic,
            kl_coef=self.kl_coef,
            moments=self.moments,
            stop=self._asked_to_stop,
            world=self.world,
        )
        if not bool(torch.isfinite(rollout.estimates.advantages).all()):
            self._give_up(NotANumber("advantages", rollout.prompts))
        self.run.progress(self.step, config.steps, "updating")
        self._whole = False
        updating = time.monotonic()
        try:
            figures = self.updater.update(rollout, self.step, self.kl_coef)
        except NotANumber as error:
            self._give_up(error)
        rollout.seconds["update"] = time.monotonic() - updating
        before = described(rollout)
        values = before | figures
        if isinstance(config, ClippedSettings):
            values["kl_coef"] = self.kl_coef
            if config.kl_control == "adaptive":
                self.kl_coef = estimators.adapted_kl_coef(
                    self.kl_coef,
                    before["kl"],
                    target=config.kl_target,
                    horizon=config.kl_horizon,
                    responses=len(rollout.samples),
                )
        self.moments = rollout.moments
        self.step += 1
        self._whole = True
        self.first = self.first or values
        self.last = values
        self._look_out(step_alarms(self.step, values, self.lengths, config))
        if len(self.lengths) < FIRST_STEPS:
            self.lengths.append(values["response_tokens"])
        total = time.monotonic() - began
        timings = {f"seconds/{phase}": spent for phase, spent in rollout.seconds.items()}
        speed = {"tokens_per_second": rollout.tokens / max(total, 1e-9)}
        self.run.metrics(self.step, **values, **timings, **{"seconds/step": total}, **speed)
        self.run.progress(self.step, config.steps, f"reward {values['reward']:.2f}, KL {values['kl']:.2f}")
        self._after_step()

    def _after_step(self) -> None:
        config = self.config
        last = self.step == config.steps or bool(self.stopped)
        if self._measure_due():
            self._measure()
        # Measured first: a checkpoint knows what was found out about its own weights.
        if self.step % config.checkpoint_every == 0:
            self.save()
        if config.sample_every and (last or self.step % config.sample_every == 0):
            self._show()

    def _give_up(self, error: NotANumber) -> None:
        self.updater.optimizer.zero_grad(set_to_none=True)
        kept = self.run.latest_checkpoint()
        names = ", ".join(dict.fromkeys(prompt.id for prompt in error.prompts[:20]))
        raise UserError(
            f"The {error.what} of step {self.step + 1} is not a number, on prompts {names}. "
            + (f"The checkpoint of step {kept[0]} is kept. " if kept else "")
            + f"Lower the learning rate (it is {self.config.learning_rate:g}), or raise the KL coefficient."
        ) from error

    def _measure_due(self) -> bool:
        """Whether this step is one to measure after and was not yet: a run may have been stopped just before that."""
        config = self.config
        last = self.step == config.steps or bool(self.stopped)
        wanted = bool(config.evaluate_every) and (last or self.step % config.evaluate_every == 0)
        return wanted and not (self.measured and self.measured[-1].step == self.step)

    # looking out ----------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Answer the held-out prompts, and keep the weights if none did better."""
        if not self.kept:
            return
        self.run.progress(self.step, self.config.steps, "measuring")
        if self.step == 0 and self.config.best_of_n_samples > 1:
            self._measure_best_of_n()
        found = measure(
            self.actor, self.judge, self.kept, self.config, self.step, stop=self._asked_to_stop, world=self.world
        )
        self.run.metrics(self.step, **found.figures)
        # The first one is what training is compared with, and of the others only the last few can show a trend.
        self.measured = [*self.measured[:1], *self.measured[1:][-3:], found]
        self._look_out(hacking_alarms(self.step, [each.figures for each in self.measured]))
        if self.best.offer(self.step, found.figures["test_reward"]):
            self.best_measured = found

    def _measure_best_of_n(self) -> None:
        """What the start model earns by trying often, to hold the policy against. Once, for it does not change."""
        self.best_of_n = best_of_n(
            self.actor, self.judge, self.kept, self.config, stop=self._asked_to_stop, world=self.world
        )
        self.run.log("Measured best-of-n of the start model.", best_of_n=self.best_of_n)

    def _look_out(self, alarms: Sequence[Alarm]) -> None:
        """Say each alarm once, and stop if that is wanted."""
        known = {alarm.name for alarm in self.alarms}
        for alarm in alarms:
            if alarm.name not in known:
                self.alarms.append(alarm)
                self.run.log(f"Alarm: {alarm.message}", alarm=alarm.name, at_step=alarm.step)
        if alarms and self.config.on_alarm == "stop" and not self.stopped:
            self.stopped = f"Stopped at step {self.step} by an alarm. {alarms[0].message}"

    def _show(self) -> None:
        config = self.config
        if not config.sample_every:
            return
        sampling = Sampling(temperature=config.temperature, top_p=1.0, max_tokens=config.max_response_tokens)
        chosen = (self.kept or self.prompts)[: config.sample_prompts]
        show_samples(self.run, self.actor, chosen, sampling, self.step, config.seed, self._rewards_of, world=self.world)

    def _rewards_of(self, prompts: list[Prompt], texts: list[str], tokens: list[int]) -> list[float]:
        return self.judge.verdict(
            prompts,
            [[text] for text in texts],
            [[count] for count in tokens],
            batch_tokens=4 * self.actor.batch_tokens,
            stop=self._asked_to_stop,
        ).rewards

    def _asked_to_stop(self) -> bool:
        return self.run.stop_requested

    # the end --------------------------------------------------------------------------------------------------------

    def write(self) -> None:
        """Put the best policy, or the last, into `run.output`."""
        self.saved_step = self.step
        if self.config.save == "best" and self.best.step is not None:
            self.saved_step = self.best.restore()
        judge = self.judge
        write_policy(
            self.run,
            self.actor,
            self.config,
            dimensions=list(judge.dimensions),
            reward_weights=judge.weights,
            step=self.saved_step,
        )

    def result(self) -> dict[str, Any]:
        """Figures of result.json, as far as training has come."""
        return {
            "algorithm": self.run.config["algorithm"],
            "steps": self.step,
            "prompts": len(self.prompts),
            "dimensions": list(self.judge.dimensions),
            "first": self.first,
            "last": self.last,
            "held_out": self.outcome(),
            "best_of_n": self.best_of_n,
            "saved_step": self.saved_step,
            "stopped": self.stopped,
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }

    def outcome(self) -> dict[str, Any] | None:
        """What became of the held-out prompts: before, after (of the saved weights), and the gain by prompt."""
        if len(self.measured) < 2:
            return None
        saved = self.best_measured if self.config.save == "best" else self.measured[-1]
        return gain(self.measured[0], saved or self.measured[-1])

    # keeping --------------------------------------------------------------------------------------------------------

    def save_if_whole(self) -> None:
        """Keep the last whole step, unless an update was interrupted in its middle: then the last checkpoint stands."""
        self.updater.optimizer.zero_grad(set_to_none=True)
        if self._whole:
            self.save()

    def save(self) -> None:
        if self._saved_step == self.step:
            return

        def write(directory: Path) -> None:
            save_state(
                directory,
                parameters=self.parameters,
                optimizers={"adamw": self.updater.optimizer},
                meta={
                    "step": self.step,
                    "steps": self.config.steps,
                    "kl_coef": self.kl_coef,
                    "prompts": len(self.prompts),
                    "first": self.first,
                    "last": self.last,
                    "moments": asdict(self.moments),
                    "lengths": self.lengths,
                    "measured": [asdict(each) for each in self.measured],
                    "alarms": [asdict(alarm) for alarm in self.alarms],
                    "stopped": self.stopped,
                    "best": self.best.state(),
                    "best_of_n": self.best_of_n,
                    "best_measured": asdict(self.best_measured) if self.best_measured else None,
                },
            )

        self.run.save_checkpoint(self.step, write)
        self._saved_step = self.step

    def _resume(self) -> None:
        found = self.run.latest_checkpoint()
        if found is None:
            return
        try:
            meta, _ = load_state(found[1], parameters=self.parameters, optimizers={"adamw": self.updater.optimizer})
        except ValueError as error:
            raise UserError(f"{error} Start a new run instead of resuming this one.") from error
        if (meta["steps"], meta["prompts"]) != (self.config.steps, len(self.prompts)):
            raise UserError(
                f"The checkpoint of step {meta['step']} is of {meta['steps']} steps over {meta['prompts']} prompts, "
                f"and this run has {self.config.steps} over {len(self.prompts)}. Start a new run."
            )
        self.step = self._saved_step = int(meta["step"])
        self.kl_coef = float(meta["kl_coef"])
        self.first, self.last = meta["first"], meta["last"]
        self.moments = estimators.RunningMoments(**meta["moments"])
        self.lengths = meta["lengths"]
        self.measured = [Measured(**each) for each in meta["measured"]]
        self.alarms = [Alarm(**each) for each in meta["alarms"]]
        self.stopped = meta["stopped"]
        self.best.resume(meta["best"])
        self.best_of_n = meta.get("best_of_n", [])
        self.best_measured = Measured(**meta["best_measured"]) if meta["best_measured"] else None
        self.run.resumed(self.step)
