"""Encoders and decoders: what must not matter does not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from drive.errors import InputError
from drive.nn.scene import SceneArrays, SceneSizes, empty_scene, is_mask, scene_shapes, stack_scenes

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.blocks import Attention, Decoder, mlp, sinusoidal  # noqa: E402
from drive.nn.diffusion import DiffusionSettings, sample  # noqa: E402
from drive.nn.encoders import KINDS, EncoderSettings, make_encoder  # noqa: E402
from drive.nn.geometry import candidate_geometry, scaled  # noqa: E402
from drive.nn.tokens import SceneBatch, move_batch, scene_batch, scene_tensors  # noqa: E402

SIZES = SceneSizes(agents=6, lanes=5, edges=4, route=16)


def batch(seed: int, count: int) -> SceneBatch:
    """Moments with about half of their rows valid, the others zero."""
    rng = np.random.default_rng(seed)
    fields = {
        name: rng.random((count, *shape)) < 0.6 if is_mask(name) else rng.normal(size=(count, *shape)) * 5.0
        for name, shape in scene_shapes(SIZES)._asdict().items()
    }
    scene = scene_tensors(SceneArrays(**fields))
    return SceneBatch(
        poisoned(scene, 0.0),
        torch.from_numpy(rng.integers(0, 255, (count, 8, 128, 128), dtype=np.uint8)),
        torch.from_numpy(rng.integers(0, 255, (count, 3, 96, 128, 3), dtype=np.uint8)),
        scene.ego,
    )


def poisoned(scene: SceneArrays, value: float) -> SceneArrays:
    """The scene with `value` wherever a row is not valid."""
    present = scene.agents_valid[..., -1]
    seen = scene.agents_valid & present[..., None]
    return scene._replace(
        agents=scene.agents.masked_fill(~seen[..., None], value),
        bodies=scene.bodies.masked_fill(~present[..., None], value),
        lanes=scene.lanes.masked_fill(~scene.lanes_valid[..., None, None], value),
        lane_info=scene.lane_info.masked_fill(~scene.lanes_valid[..., None], value),
        edges=scene.edges.masked_fill(~scene.edges_valid[..., None, None], value),
        route=scene.route.masked_fill(~scene.route_valid[..., None], value),
    )


def encoder(kind: str, seed: int = 0):
    torch.manual_seed(seed)
    return make_encoder(EncoderSettings(kind=kind, width=32, channels=8, sizes=SIZES)).eval()


def decoder(self_attention: bool = False, seed: int = 1):
    torch.manual_seed(seed)
    return Decoder(32, 4, 2, 64, self_attention=self_attention).eval()


def one(whole: SceneBatch, b: int) -> SceneBatch:
    scene = SceneArrays(*(field[b : b + 1] for field in whole.scene))
    return SceneBatch(scene, whole.raster[b : b + 1], whole.images[b : b + 1], whole.ego[b : b + 1])


@pytest.mark.parametrize(("kind", "count"), [("vector", 1 + 6 + 5 + 4 + 2), ("raster", 65), ("image", 145)])
def test_tokens_have_their_shape_and_the_ego_comes_first(kind, count):
    moments = batch(0, 3)
    found = encoder(kind)(moments)
    assert found.tokens.shape == (3, count, 32)
    assert found.valid.shape == (3, count)
    assert found.ego.shape == (3, 32)
    assert found.valid[:, 0].all()
    if kind == "vector":
        scene = moments.scene
        assert torch.equal(found.valid[:, 1:7], scene.agents_valid[..., -1])
        assert torch.equal(found.valid[:, 7:12], scene.lanes_valid)
        assert torch.equal(found.valid[:, 12:16], scene.edges_valid)
        assert torch.equal(found.valid[:, 16:], scene.route_valid.view(3, 2, 8).any(-1))
    else:
        assert found.valid.all()


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_moment_alone_is_encoded_as_among_others(kind):
    moments, net = batch(1, 3), encoder(kind)
    whole = net(moments)
    for b in range(3):
        alone = net(one(moments, b))
        # Convolutions choose their algorithm by the batch, and so their rounding.
        atol = 2e-6 if kind == "vector" else 2e-5
        torch.testing.assert_close(alone.tokens, whole.tokens[b : b + 1], atol=atol, rtol=1e-5)
        torch.testing.assert_close(alone.ego, whole.ego[b : b + 1], atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_order_of_agents_lanes_and_edges_is_nothing_to_a_decoder():
    moments, net, read = batch(2, 3), encoder("vector"), decoder()
    queries = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0))
    seen = net(moments)
    expected = read(queries, seen.tokens, seen.valid)
    scene, order = moments.scene, torch.tensor((3, 0, 5, 1, 4, 2))
    shuffled = scene._replace(
        agents=scene.agents[:, order], agents_valid=scene.agents_valid[:, order],
        bodies=scene.bodies[:, order],
        lanes=scene.lanes.flip(1), lane_info=scene.lane_info.flip(1), lanes_valid=scene.lanes_valid.flip(1),
        edges=scene.edges.flip(1), edges_valid=scene.edges_valid.flip(1),
    )  # fmt: skip
    seen = net(moments._replace(scene=shuffled))
    torch.testing.assert_close(read(queries, seen.tokens, seen.valid), expected, atol=1e-5, rtol=1e-5)


def test_what_invalid_rows_hold_never_matters_not_even_to_slopes():
    moments, net, read = batch(3, 3), encoder("vector"), decoder()
    queries = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0))
    outputs, slopes = [], []
    for value in (0.0, 1e4, float("nan"), float("inf")):
        seen = net(moments._replace(scene=poisoned(moments.scene, value)))
        found = read(queries, seen.tokens, seen.valid)
        net.zero_grad()
        found.square().sum().backward()
        outputs.append(found.detach())
        slopes.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
    assert torch.isfinite(outputs[0]).all()
    assert torch.isfinite(slopes[0]).all()
    for found, slope in zip(outputs[1:], slopes[1:], strict=True):
        assert torch.equal(found, outputs[0])
        assert torch.equal(slope, slopes[0])


def test_an_empty_scene_is_encoded_and_decoded_without_nan():
    scene = scene_tensors(stack_scenes([empty_scene(SIZES)] * 2))
    seen = encoder("vector")(SceneBatch(scene, None, None, scene.ego))
    assert seen.valid.sum(1).tolist() == [1, 1]
    found = decoder()(torch.zeros(2, 3, 32), seen.tokens, seen.valid)
    found.sum().backward()
    assert torch.isfinite(found).all()


def test_a_memory_of_nothing_gives_no_nan():
    look = Attention(32, 4)
    memory = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor(((True,) * 5, (False,) * 5))
    queries = torch.randn(2, 3, 32, requires_grad=True)
    found = look(queries, look.remember(memory, valid))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(queries.grad).all()
    torch.testing.assert_close(found[1], look.out.bias.expand(3, 32))


@torch.no_grad()
def test_attention_equals_torchs():
    look, theirs = Attention(32, 4), torch.nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.in_proj_weight.copy_(torch.cat((look.query.weight, look.key_value.weight)))
    theirs.in_proj_bias.copy_(torch.cat((look.query.bias, look.key_value.bias)))
    theirs.out_proj.load_state_dict(look.out.state_dict())
    generator = torch.Generator().manual_seed(0)
    queries, memory = torch.randn(2, 9, 32, generator=generator), torch.randn(2, 6, 32, generator=generator)
    valid = torch.tensor(((True, False, True, True, False, True), (True, True, False, False, False, False)))
    expected, _ = theirs(queries, memory, memory, key_padding_mask=~valid)
    torch.testing.assert_close(look(queries, look.remember(memory, valid)), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("self_attention", [False, True])
@torch.no_grad()
def test_candidates_come_out_in_the_order_they_went_in(self_attention):
    read = decoder(self_attention)
    generator = torch.Generator().manual_seed(0)
    queries, memory = torch.randn(2, 40, 32, generator=generator), torch.randn(2, 6, 32, generator=generator)
    order = torch.randperm(40, generator=generator)
    torch.testing.assert_close(
        read(queries[:, order], memory), read(queries, memory)[:, order], atol=1e-5, rtol=1e-5
    )
    layers = read(queries, memory, all_layers=True)
    assert len(layers) == 2
    assert torch.equal(layers[-1], read(queries, memory))
    assert torch.equal(read.norm(read.attend(queries, read.remember(memory))[0]), layers[0])
    # Others matter to a candidate with self-attention alone.
    fewer = read(queries[:, :5], memory)
    assert torch.allclose(fewer, layers[-1][:, :5], atol=1e-5) is not self_attention
    if self_attention:
        there = torch.arange(40).expand(2, -1) < 5
        masked = read(queries, memory, queries_valid=there)[:, :5]
        torch.testing.assert_close(masked, fewer, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_every_kind_of_row_reaches_the_tokens():
    moments, net = batch(4, 1), encoder("vector")
    scene = moments.scene._replace(
        agents_valid=torch.ones_like(moments.scene.agents_valid),
        lanes_valid=torch.ones_like(moments.scene.lanes_valid),
        edges_valid=torch.ones_like(moments.scene.edges_valid),
        route_valid=torch.ones_like(moments.scene.route_valid),
    )
    before = net(moments._replace(scene=scene)).tokens[:, 0]
    for name in ("agents", "bodies", "lanes", "lane_info", "edges", "route"):
        changed = scene._replace(**{name: getattr(scene, name) + 0.5})
        assert (net(moments._replace(scene=changed)).tokens[:, 0] - before).abs().max() > 1e-5
    assert (net(moments._replace(ego=moments.ego + 0.5)).tokens[:, 0] - before).abs().max() > 1e-5


def test_views_lie_side_by_side():
    """What the tokens of a third of the panorama look at most is that view."""
    net, moments = encoder("image"), batch(5, 1)
    for view in range(3):
        images = moments.images.float().requires_grad_()
        tokens, _ = net.tokenizer(moments._replace(images=images))
        tokens.view(6, 24, 32)[:, 8 * view : 8 * view + 8].square().sum().backward()
        assert images.grad.square().sum((0, 2, 3, 4)).argmax().item() == view


def test_wrong_input_is_told_in_one_line():
    moments = batch(6, 1)
    missing = SceneBatch(None, None, None, moments.ego)
    for kind, word in zip(KINDS, ("arrays", "rasters", "images"), strict=True):
        with pytest.raises(InputError, match=word):
            encoder(kind)(missing)
    with pytest.raises(InputError, match="points a lane"):
        encoder("vector")(moments._replace(scene=moments.scene._replace(lanes=moments.scene.lanes[:, :, :3])))
    with pytest.raises(InputError, match="known: vector, raster, image"):
        EncoderSettings(kind="lidar")
    with pytest.raises(InputError, match="multiple of twice its heads"):
        EncoderSettings(width=20, heads=4)
    with pytest.raises(InputError, match="needs at least"):
        mlp((4,))
    with pytest.raises(InputError, match="even width"):
        sinusoidal(torch.zeros(3), 5)


def test_batches_come_from_the_fields_of_a_training_set():
    moments = batch(7, 2)
    fields = {f"scene.{name}": value.numpy() for name, value in moments.scene._asdict().items()}
    fields["raster"] = moments.raster.numpy()
    fields["scene.ego"].setflags(write=False)  # as memory-mapped files are
    found = move_batch(scene_batch(fields), "cpu")
    assert found.images is None
    assert torch.equal(found.raster, moments.raster)
    assert all(torch.equal(a, b) for a, b in zip(found.scene, moments.scene, strict=True))
    assert scene_batch({"scene.ego": fields["scene.ego"]}).scene is None
    with pytest.raises(InputError, match=r"needs 'scene\.ego'"):
        scene_batch({"raster": fields["raster"]})


def test_waves_of_a_step_are_those_of_the_paper():
    # Vaswani et al.: sin(p / 10000^(2i/d)), and the cosines, here the half of them first.
    found = sinusoidal(torch.tensor((3.0,)), 8)[0]
    rates = 10_000.0 ** (-np.arange(4) / 3.0)
    assert found.numpy() == pytest.approx(
        np.concatenate((np.sin(3.0 * rates), np.cos(3.0 * rates))), abs=1e-6
    )


@pytest.mark.cuda
def test_a_gpu_answers_as_the_processor_does_and_is_not_waited_for():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    moments, net, read = batch(8, 3), encoder("vector"), decoder()
    queries = torch.randn(3, 7, 32, generator=torch.Generator().manual_seed(0))
    candidates = torch.randn(3, 7, 40, 3, generator=torch.Generator().manual_seed(1)).cumsum(2)
    settings = DiffusionSettings(steps=10)

    def answers(given, q, c, generator):
        seen = net(given)
        drawn = sample(
            settings, lambda noisy, steps: noisy * 0.5, (3, 4), generator, count=3, device=q.device
        )
        return read(q, seen.tokens, seen.valid), scaled(candidate_geometry(given.scene, c)), drawn

    with torch.no_grad():
        expected = answers(moments, queries, candidates, torch.Generator().manual_seed(2))
        net, read = net.cuda(), read.cuda()
        there = (move_batch(moments, "cuda"), queries.cuda(), candidates.cuda())
        answers(*there, torch.Generator("cuda").manual_seed(2))  # constants are made
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = answers(*there, torch.Generator("cuda").manual_seed(2))
        finally:
            torch.cuda.set_sync_debug_mode("default")
    for a, b in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-3, rtol=1e-3)
    assert torch.isfinite(found[2]).all()


def test_the_docs_of_the_blocks_run():
    text = (Path(__file__).resolve().parents[2] / "docs" / "learned.md").read_text()
    (code,) = re.findall(
        r"```python\n(.*?)```", text.partition("## Blocks\n")[2].partition("\n## ")[0], re.DOTALL
    )
    exec(compile(code, "docs/learned.md", "exec"), {})
