"""Tuning the policy's head: what is frozen, what every objective does, logs and going on."""

from __future__ import annotations

import copy
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch")

from drive.errors import InputError, UnknownNameError  # noqa: E402
from drive.eval.check.scenes import straight_map, straight_scene  # noqa: E402
from drive.nn.fit import FitSettings  # noqa: E402
from drive.nn.policy import group_advantage, log_probabilities  # noqa: E402
from drive.nn.weights import Card, save_weights  # noqa: E402
from drive.progress import Listener  # noqa: E402
from drive.sim.traffic.rift.base import TUNE, BaseSettings, examples_of, recordings, train_base  # noqa: E402
from drive.sim.traffic.rift.cache import Cache, collect, teacher_speed  # noqa: E402
from drive.sim.traffic.rift.evaluate import assert_disjoint, drive_worlds, evaluate, people_of  # noqa: E402
from drive.sim.traffic.rift.guard import Guard  # noqa: E402
from drive.sim.traffic.rift.kernels.base import FACTS, FEARS, LINE_WIDTH  # noqa: E402
from drive.sim.traffic.rift.measure import measure  # noqa: E402
from drive.sim.traffic.rift.net import ARCHITECTURE, RiftPolicy  # noqa: E402
from drive.sim.traffic.rift.objectives import FLOOR, ROWS, Baseline, Batch, head_loss  # noqa: E402
from drive.sim.traffic.rift.pretrain import Examples, gather, head_set, preference, train_head  # noqa: E402
from drive.sim.traffic.rift.recipe import RECIPE, TrainConfig  # noqa: E402
from drive.sim.traffic.rift.style import STYLES  # noqa: E402
from drive.sim.traffic.rift.tune import TuneSettings, learn, tune  # noqa: E402
from drive.sim.traffic.rift.worlds import Worlds  # noqa: E402

C = 18


def cache_of(net, states=256, seed=0):
    """Made-up states whose returns follow from the features, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    width = net.pi_head[0].in_features
    read = rng.normal(0.0, 1.0, (states, C, width)).astype(np.float32)
    nobody_is_met = np.broadcast_to(np.float32((1.0, 1.0, 0.0)), (states, C, len(FEARS)))
    features = np.concatenate((read, nobody_is_met), -1)
    valid = np.ones((states, C), dtype=bool)
    valid[: states // 2, 12:] = False
    returns = (5.0 * features[..., 0] - 3.0 * features[..., 1]).astype(np.float32)
    with torch.no_grad():
        logits = net.score(torch.from_numpy(features)).numpy()
    best = np.where(valid, returns, -np.inf).argmax(1)
    return Cache(features, valid, logits, returns, np.minimum(returns, 0.0), returns, best, np.abs(returns))


def batch_of(net, cache):
    t = [torch.from_numpy(np.ascontiguousarray(a)) for a in cache]
    old = log_probabilities(torch.from_numpy(cache.logits), t[1])
    draw = torch.multinomial(old.exp(), 1, generator=torch.Generator().manual_seed(0)).squeeze(-1)
    return Batch(t[0], t[1], t[3], t[4], t[5], t[6], old, old, draw)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return RiftPolicy().eval()


def test_padding_changes_neither_loss_nor_gradient(net):
    batch = batch_of(net, cache_of(net))
    grown = Batch(*(
        torch.cat((a, torch.full((len(a), 6, *a.shape[2:]), 7.0, dtype=a.dtype)), 1)
        if a.ndim > 1 and a.dtype != torch.bool else a for a in batch
    ))  # fmt: skip
    grown = grown._replace(
        valid=torch.cat((batch.valid, torch.zeros(len(batch.valid), 6, dtype=torch.bool)), 1)
    )
    order = torch.randperm(C, generator=torch.Generator().manual_seed(1))
    turned = Batch(*(a[:, order] if a.ndim > 1 else a for a in batch))
    found = []
    for one in (batch, grown, turned):
        net.zero_grad()
        loss, _ = head_loss("rift", net.score, one)
        loss.backward()
        found.append((loss.detach(), net.pi_head[0].weight.grad.clone()))
    for loss, gradient in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(gradient, found[0][1], atol=1e-6, rtol=1e-4)


def test_only_the_head_is_tuned_and_ratios_begin_at_one(net):
    cache = cache_of(net)
    _, figures = head_loss("rift", net.score, batch_of(net, cache))
    assert float(figures["ratio_most"]) == pytest.approx(1.0, abs=1e-5)
    assert float(figures["flips"]) == 0.0
    tuned = copy.deepcopy(net)
    told = learn(tuned, net, cache, TuneSettings(epochs=2, batch=64), 0, 0)
    for (name, a), (_, b) in zip(net.state_dict().items(), tuned.state_dict().items(), strict=True):
        assert torch.equal(a, b) != name.startswith("pi_head."), name
    assert sum(told[f"ratio_{0.5 * k:g}"] for k in range(8)) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", [k for k in ROWS if "upstream" not in k])
def test_every_objective_raises_what_it_is_paid_for(net, kind):
    cache, tuned = cache_of(net, 512), copy.deepcopy(net)
    how = TuneSettings(epochs=4, batch=64, lr=3e-3, objective=kind)
    first = [learn(tuned, net, cache, how, number, 0) for number in range(3)]
    assert first[-1]["return_after"] > first[0]["return_before"] + 0.3
    assert first[-1]["return_after"] <= first[-1]["return_best"] + 1e-5


def test_groups_that_hardly_differ_do_not_shout():
    nearly = torch.tensor([[1.0, 1.001, 0.999]])
    assert group_advantage(nearly, kind=FLOOR).abs().max() < 0.02
    assert group_advantage(nearly).abs().max() > 1.0


@pytest.mark.parametrize("kind", ["rift", "no_dual_clip"])
def test_a_stale_buffer_stays_finite(net, kind):
    """200 epochs on one buffer at ten times the rate."""
    cache, tuned = cache_of(net, 128), copy.deepcopy(net)
    told = learn(tuned, net, cache, TuneSettings(epochs=200, batch=128, lr=1e-2, objective=kind), 0, 0)
    assert all(np.isfinite(v) for v in told.values())
    assert told["return_after"] > told["return_before"]
    assert told["ratio_most_worse"] > 1.0  # some candidates below the mean have gained all the same


def test_an_objective_that_is_unknown(net):
    with pytest.raises(UnknownNameError, match="rift"):
        head_loss("rifd", net.score, batch_of(net, cache_of(net)))
    with pytest.raises(UnknownNameError):
        TuneSettings(objective="rifd")


def test_the_critic_sees_no_padding(net):
    torch.manual_seed(0)
    cache = cache_of(net)
    critic = Baseline(cache.features.shape[-1])
    features, valid = torch.from_numpy(cache.features), torch.from_numpy(cache.valid)
    other = features.masked_fill(~valid[..., None], 9.0)
    torch.testing.assert_close(critic(features, valid), critic(other, valid))


def test_a_tuning_goes_on_where_it_was_stopped(net, tmp_path):
    caches = [cache_of(net, 128, k) for k in range(2)]
    how = TuneSettings(rounds=4, epochs=1, batch=64)
    whole = tune(net, STYLES["safe"], [], how, tmp_path / "a", caches=caches)
    tune(net, STYLES["safe"], [], TuneSettings(rounds=2, epochs=1, batch=64), tmp_path / "b", caches=caches)
    rest = tune(net, STYLES["safe"], [], how, tmp_path / "b", caches=caches, resume=True)
    for a, b in zip(whole.net.pi_head.parameters(), rest.net.pi_head.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (tmp_path / "b" / "log.csv").read_text() == (tmp_path / "a" / "log.csv").read_text()
    with pytest.raises(InputError, match="holds a tuning"):
        tune(net, STYLES["safe"], [], how, tmp_path / "a", caches=caches)
    with pytest.raises(InputError, match="another collision"):
        tune(net, STYLES["default"], [], how, tmp_path / "a", caches=caches, resume=True)


def test_a_guard_keeps_speeds_near_the_limits(net, tmp_path):
    worlds = Worlds.of([straight_scene(straight_map(), [(60.0, 0.0, 8.0), (45.0, 3.5, 12.0)])])
    pool = [worlds.fresh]
    how = TuneSettings(rounds=3, refresh=3, epochs=2, batch=8, states=40, guard=0.5)
    found = tune(net, STYLES["safe"], pool, how, tmp_path / "a")
    _, base = drive_worlds(net, worlds.fresh())
    most = 0.5 * measure(base)["wd"]
    paces = [row["pace"] for row in found.history]
    assert paces[0] == 0.0
    for before, after in pairwise(found.history):
        excess = before["wd_driven"] / most - 1.0
        assert after["pace"] == pytest.approx(max(before["pace"] + excess, 0.0))
    assert paces[1] > 0.0
    _, series = drive_worlds(found.net, worlds.fresh())
    assert measure(series)["wd"] == pytest.approx(found.history[found.kept - 1]["wd_driven"])
    # Interrupted after the first round it comes to the same.
    tune(net, STYLES["safe"], pool, replace(how, rounds=1), tmp_path / "b")
    rest = tune(net, STYLES["safe"], pool, how, tmp_path / "b", resume=True)
    assert rest.kept == found.kept
    for a, b in zip(found.net.pi_head.parameters(), rest.net.pi_head.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(InputError, match="there are none"):
        tune(net, STYLES["safe"], [], how, tmp_path / "none", caches=[cache_of(net, 16)])
    with pytest.raises(InputError, match="guard"):
        TuneSettings(guard=-1.0)


def test_which_round_a_guard_keeps():
    rows = [
        {"wd_driven": wd, "crashed_driven": crashed, "pace": 0.5}
        for wd, crashed in ((2.0, 0.3), (3.0, 0.1), (3.1, 0.0), (2.5, 0.1), (4.0, 0.0))
    ]
    guard = Guard(3.0, 2.0)
    assert guard.best(rows) == 4  # within it, fewest crashes, the later one
    assert guard.best(rows[2:3]) == 1
    assert guard.best(rows[4:] + rows[2:3]) == 2  # none within: the nearest
    assert guard.best([]) == 0
    assert guard.pace([]) == 0.0
    assert guard.pace(rows) == pytest.approx(0.5 + 2.0 / 3.0)
    assert guard.pace(rows[:1]) == 0.0


def test_the_teacher_keeps_its_distance_and_stops():
    lines = np.zeros((3, LINE_WIDTH), dtype=np.float32)
    facts = lines[:, -len(FACTS) :]
    for name, value in (
        ("end", 100),
        ("red", 100),
        ("limit", 15),
        ("allowed", 15),
        ("speed", 10),
        ("gap", 100),
    ):
        facts[:, FACTS.index(name)] = value
    facts[1, FACTS.index("lead")], facts[1, FACTS.index("gap")] = 1, 12
    facts[2, FACTS.index("red")] = 15
    free, follows, stops = teacher_speed(lines)
    assert 10.0 < free < 15.0
    assert stops * 4.0 < 16.0
    assert follows < 10.0


def test_scenes_are_visited_and_measured(net):
    scenes = [
        straight_scene(straight_map(), [(60.0, 0.0, 8.0), (45.0, 3.5, 12.0), (30.0, 3.5, 12.0)]),
        straight_scene(straight_map(600.0), [(60.0, 0.0, 8.0)]),
    ]
    worlds = Worlds.of(scenes)
    cache, drove = collect(net, worlds.fresh(), STYLES["safe"], np.random.default_rng(0), states=60)
    assert 0 < len(cache) <= 140
    assert cache.features.shape[1] == C
    assert np.isfinite(cache.returns).all()
    assert 0.0 <= drove["crashed"] <= 1.0
    people = people_of(worlds.fresh(), net)
    assert people.speed[people.alive].min() > 7.9
    found = evaluate(net, [worlds], [people])
    assert found["vehicles"] == 4
    assert found["episodes"] == 2
    assert {"cpk", "rp", "orr", "uc", "wd", "w1_speed", "crash_ci95", "ego_blocked", "diversity"} <= set(
        found
    )
    with pytest.raises(InputError, match="share 1 scenario"):
        assert_disjoint(scenes, scenes[:1])


def test_imitation_learns_and_relabels(net, tmp_path):
    parts = gather([straight_scene(straight_map(), [(60.0, 0.0, 8.0), (30.0, 3.5, 12.0)])])
    people, hurried = Examples.of(parts), Examples.of(parts, "aggressive", 1.0)
    slow = Examples.of(parts, "cautious", 1.0)
    assert (hurried.fields["target_s"][:, -1] > people.fields["target_s"][:, -1]).mean() > 0.8
    assert (slow.fields["target_s"][:, -1] < people.fields["target_s"][:, -1]).mean() > 0.8
    how = BaseSettings(batch=32, head_epochs=3, fit=FitSettings(steps=30, warmup=5, validate_every=10))
    _, fitted, figures = train_base(how, people, people, tmp_path, progress=Listener())
    assert fitted is not None
    assert fitted.steps == 30
    assert figures["miss"] < 4.0  # all drive at constant speed: 4 s of the next mode would be 6 m off
    with pytest.raises(InputError, match="base is one of"):
        Examples.of(parts, "angry")


def test_recordings_are_imitated_too(net, tmp_path):
    noted = []

    class Told(Listener):
        def note(self, line):
            noted.append(line)

    how = BaseSettings(
        families=("lane_follow_curved",), scenes=1, held_out=1, batch=16, head_epochs=2,
        scenarios=("gen/dense_merge/70", "gen/cut_in/70"), unseen=("gen/cut_in/71",), repeats=3,
        fit=FitSettings(steps=10, warmup=2, validate_every=5),
    )  # fmt: skip
    generated, held = examples_of(replace(how, scenarios=()), progress=Told())
    both, _ = examples_of(how, progress=Told())
    once = Examples.of(gather(recordings(how.scenarios)))
    assert len(both) > len(generated) + 2 * len(once)
    # The same moments, each time displaced otherwise.
    parts = both.parts[:6]
    assert len(parts[0].line) == len(parts[2].line)
    assert not np.array_equal(parts[0].fleet.states, parts[2].fleet.states)
    assert len(noted) == len(set(noted))
    first, _, figures = train_base(how, both, held, tmp_path, progress=Told())
    for name, count in (("held", len(held)), ("recorded", len(once))):
        assert figures[f"{name}_examples"] == count
        assert figures[f"{name}_best"] >= 0.0
        assert figures[f"{name}_miss"] > 0.0
    assert {"unseen_right", "unseen_miss"} <= set(figures)
    # From weights to start with only the head learns, and it is what it was before for what is the same.
    path = tmp_path / "first.safetensors"
    save_weights(path, first, Card("rift", ARCHITECTURE, config={"model": asdict(first.settings)}))
    second, fitted, _ = train_base(replace(how, start=str(path), head_epochs=1), both, held, tmp_path)
    assert fitted is None
    changed = {
        name
        for name, value in second.state_dict().items()
        if not torch.equal(value, first.state_dict()[name])
    }
    assert changed
    assert all(name.startswith("pi_head.") for name in changed)
    with pytest.raises(InputError, match="repeats"):
        BaseSettings(repeats=0)


def test_who_prefers_what_was_done_is_right(net):
    """Two vehicles that keep their speed: a head that knows the modes is right, one turned around is not."""
    examples = Examples.of(gather([straight_scene(straight_map(), [(60.0, 0.0, 8.0), (30.0, 3.5, 12.0)])]))
    data = head_set(net, examples)
    train_head(net, data, epochs=60, batch=16)
    found = preference(net, examples)
    # Not quite, for half of the moments are displaced, and modes lie close together.
    assert found["right"] > 0.6
    assert found["miss"] < found["best"] + 1.0
    with torch.no_grad():
        net.pi_head[-1].weight.neg_()
    turned = preference(net, examples)
    assert turned["right"] < 0.1
    assert turned["miss"] > found["miss"] + 1.0
    assert turned["best"] == found["best"]


def test_the_recipe_and_its_seeds():
    from drive.datasets.generate.source import FAMILIES as KNOWN
    from drive.eval.training.scenes import check_suites
    from drive.nn.store import scene_key
    from drive.sim.traffic.rift.base import FAMILIES, TRAIN

    assert RECIPE.data(TrainConfig()) is None
    assert set(FAMILIES) <= set(KNOWN)
    assert {"cpu", "gpu"} <= set(RECIPE.presets)
    with pytest.raises(UnknownNameError, match="safe"):
        TrainConfig(style="save")
    how = TrainConfig()
    seeds = [*range(TRAIN, TRAIN + how.base.scenes), *range(TUNE, TUNE + how.tune.scenes)]
    check_suites(scene_key(f, s, "") for f in FAMILIES for s in seeds)
