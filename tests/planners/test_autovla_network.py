"""The network and its answers: patches, positions, masks of loss and grammar, caches, old checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import autovla_toy as toy
import torch

from drive.errors import InputError
from drive.nn.weights import Card
from drive.planners.autovla.codebook import Codebook
from drive.planners.autovla.decode import FORCED, InvalidAnswer, answer_logp, sample, static_part
from drive.planners.autovla.grpo import told as group_logp
from drive.planners.autovla.model import VLASettings, load_folder, tiny
from drive.planners.autovla.planner import AutoVLAConfig, AutoVLAPlanner
from drive.planners.autovla.product import Product, load_product, save_folder
from drive.planners.autovla.prompt import IGNORED, Prompt, answer_ids, batch_arrays, rope_positions
from drive.planners.autovla.sft import LossSettings, sft_loss
from drive.planners.autovla.tokenizer import load_words
from drive.planners.autovla.vision_pack import pack_clips, vision_tokens


def tensors(arrays: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def test_patches_are_those_of_the_library() -> None:
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    picture = np.random.default_rng(0).integers(0, 256, (56, 84, 3), dtype=np.uint8)
    theirs = Qwen2VLImageProcessorPil(min_pixels=28 * 28, max_pixels=10**7)(
        images=[Image.fromarray(picture)], return_tensors="np"
    )
    ours, grid = pack_clips(np.stack([picture, picture])[None])  # a picture is a clip that stands still
    assert np.array_equal(ours, theirs["pixel_values"])
    assert grid.tolist() == theirs["image_grid_thw"].tolist() == [[1, 4, 6]]
    # A clip that moves: each pair of frames is packed as by itself.
    clip = np.random.default_rng(1).integers(0, 256, (1, 4, 28, 56, 3), dtype=np.uint8)
    both, grid = pack_clips(clip)
    halves = [pack_clips(clip[:, k : k + 2])[0] for k in (0, 2)]
    assert np.array_equal(both, np.concatenate(halves))
    assert vision_tokens((2, 2, 4)) == 4


def test_the_tower_computes_as_the_librarys_own() -> None:
    # A window is 112 pixels: at 140 x 112 there are windows of two sizes, at 56 x 28 one each.
    for height, width in ((112, 140), (28, 56)):
        clips = np.random.default_rng(0).integers(0, 256, (2, 4, height, width, 3), dtype=np.uint8)
        batch, grid = (torch.from_numpy(a) for a in pack_clips(clips))
        tower = toy.network().base.model.visual
        ours = tower(batch, grid_thw=grid).pooler_output
        conv = tower.patch_embed.proj
        tower.patch_embed.forward = lambda x, conv=conv: conv(x.view(-1, 3, 2, 14, 14)).flatten(1)
        tower.config._attn_implementation = "sdpa"
        theirs = tower(batch, grid_thw=grid).pooler_output
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of what torch itself does
def test_compiled_blocks_learn_the_same_and_answer_as_before() -> None:
    p, asked = toy.phrases(), toy.prompts(2)
    batch = tensors(batch_arrays(p, asked, [answer_ids(p, range(8))] * 2, multiple=16))
    assert batch["input_ids"].shape[1] % 16 == 0
    plain, compiled = toy.network(), toy.network()
    compiled.compile_blocks("aot_eager")  # all but the C++ compiler
    for net in (plain, compiled):
        net.train()
        net(batch)[0].square().mean().backward()
    for mine, theirs in zip(plain.parameters(), compiled.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None)
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-5, rtol=1e-3)
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    answers = [[one.ids for (one,) in sample(net.eval(), toy.grammar(), asked)] for net in (plain, compiled)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("shape", [(3, 28, 28), (2, 30, 28), (2, 28, 14), (0, 28, 28)])
def test_clips_that_do_not_divide_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="multiples of 28"):
        pack_clips(np.zeros((1, *shape, 3), dtype=np.uint8))


def test_positions_are_those_of_the_library_and_must_be_given() -> None:
    net, p = toy.network(), toy.phrases()
    asked = toy.prompts(3)
    batch = tensors(batch_arrays(p, asked, [answer_ids(p, range(8))] * 3))
    kinds = torch.where(batch["input_ids"] == p.words.video, 2, 0)
    theirs, _ = net.net.model.get_rope_index(
        batch["input_ids"], kinds, video_grid_thw=batch["grid"], second_per_grid_ts=torch.ones(9),
        attention_mask=batch["attention"],
    )  # fmt: skip
    there = batch["attention"].bool()
    assert torch.equal(theirs[:, there], batch["positions"][:, there])
    del batch["positions"]
    with pytest.raises(InputError, match="positions"):
        net(batch)
    with pytest.raises(InputError, match="clip"):
        rope_positions(asked[0].ids, p.words.video, asked[0].grid[:2])
    with pytest.raises(InputError, match="clip"):
        rope_positions(asked[0].ids[:-20][asked[0].ids[:-20] != p.words.video], p.words.video, asked[0].grid)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_what_was_drawn_is_told_as_it_was_drawn(temperature: float) -> None:
    net, grammar = toy.network(), toy.grammar()
    asked = toy.prompts(3)
    assert len({len(prompt.ids) for prompt in asked}) > 1  # so that some are padded
    generator = torch.Generator().manual_seed(0)
    groups = sample(net, grammar, asked, count=4, temperature=temperature, generator=generator)
    flat = [(asked[k], one) for k, group in enumerate(groups) for one in group]
    batch = tensors(batch_arrays(grammar.phrases, [q for q, _ in flat], [one.ids for _, one in flat]))
    with torch.no_grad():
        logits, ids, _ = net(batch)
    assert ids.tolist() == [i for _, one in flat for i in one.ids]
    kinds = torch.tensor([k for _, one in flat for k in one.kinds])
    masks = grammar.masks(len(grammar.phrases.words))
    told = answer_logp(logits, ids, kinds, masks, temperature)
    drawn = torch.tensor([value for _, one in flat for value in one.logp])
    assert (told - drawn).abs().max() < 1e-4
    assert (told[kinds == FORCED] == 0.0).all()
    assert (told[kinds != FORCED] < 0.0).all()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_group_that_shares_its_prompt_is_told_as_it_was_drawn(temperature: float) -> None:
    net, grammar = toy.network(), toy.grammar()
    asked = toy.prompts(3)
    generator = torch.Generator().manual_seed(0)
    groups = sample(net, grammar, asked, count=4, temperature=temperature, generator=generator)
    assert len({len(one.ids) for group in groups for one in group}) > 1
    logp, ref, kinds = group_logp(
        net, toy.network(), grammar, asked, groups, temperature, torch.device("cpu")
    )
    for row, one in enumerate(one for group in groups for one in group):
        length = len(one.ids)
        assert kinds[row, :length].tolist() == one.kinds
        assert torch.allclose(logp[row, :length], torch.tensor(one.logp), atol=1e-4)
        assert (logp[row, length:] == 0.0).all()
        assert (kinds[row, length:] == FORCED).all()
    assert torch.allclose(ref, logp, atol=1e-6)  # the same weights
    logp.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_no_control_token_is_ever_drawn_and_answers_are_sound_or_told() -> None:
    net, grammar = toy.network(), toy.grammar(longest=8)
    with torch.no_grad():  # a network that wants nothing but pictures
        net.net.model.language_model.norm.weight.mul_(3.0)
    generator = torch.Generator().manual_seed(1)
    sound = broken = 0
    for group in sample(net, grammar, toy.prompts(4), count=8, temperature=2.0, generator=generator):
        for one in group:
            drawn = [i for i, kind in zip(one.ids, one.kinds, strict=True) if kind != FORCED]
            assert not set(drawn) & set(grammar.phrases.words.control)
            if one.overlong:
                broken += 1
                with pytest.raises(InvalidAnswer, match="no end"):
                    grammar.parse(one.ids)
                continue
            answer = grammar.parse(one.ids)
            sound += 1
            assert len(answer.actions) == toy.ACTIONS
            assert list(answer.kinds) == one.kinds
    assert sound > 0
    assert broken > 0


def test_malformed_answers_say_what_is_wrong() -> None:
    grammar, p = toy.grammar(), toy.phrases()
    good = answer_ids(p, range(8), "A person waits.")
    assert grammar.parse(good).thought == "A person waits."
    assert not grammar.parse(answer_ids(p, range(8))).slow
    cases = {
        "7 actions, not 8": answer_ids(p, range(7)),
        "does not begin": good[1:],
        "no end": good[: len(p.think) + len(p.slow) + 3],
        "does not end": answer_ids(p, range(9)),
        "no text": answer_ids(p, range(8), "A <|video_pad|> waits."),
        "neither": [*p.think, *p.close],
    }
    for match, ids in cases.items():
        with pytest.raises(InvalidAnswer, match=match):
            grammar.parse(ids)


def test_batches_caches_and_modes_change_no_answer() -> None:
    net, grammar = toy.network(3), toy.grammar()
    asked = toy.prompts(4)
    kept = static_part(net, grammar.phrases)
    together = sample(net, grammar, asked, static=kept)
    for prompt, (one,) in zip(asked, together, strict=True):
        ((alone,),) = sample(net, grammar, [prompt])
        assert alone.ids == one.ids
        assert np.allclose(alone.logp, one.logp, atol=1e-5)
    for mode in ("fast", "slow"):
        for (one,) in sample(net, grammar, asked, mode=mode, static=kept):
            assert (one.ids[len(grammar.phrases.think)] == grammar.phrases.slow[0]) == (mode == "slow")
    with pytest.raises(InputError, match="thinking"):
        sample(net, grammar, asked, mode="quick")


def test_the_loss_touches_the_answer_alone() -> None:
    net, p = toy.network(), toy.phrases()
    asked = toy.prompts(3)
    answers = [answer_ids(p, range(8)), answer_ids(p, range(8), "A person waits."), answer_ids(p, [3] * 8)]
    arrays = batch_arrays(p, asked, answers, [1.0, 40.0, 1.0])
    for row, prompt, answer in zip(arrays["labels"], asked, answers, strict=True):
        assert row[row != IGNORED].tolist() == answer
        assert row[len(prompt.ids)] == answer[0]
        assert answer[-1] == p.words.end
    _, ids, rows = net(tensors(arrays))
    assert [ids[rows == k].tolist() for k in range(3)] == answers
    # Each sample's share is the same, alone or padded among others; the paper's weights multiply both parts.
    loss = sft_loss(LossSettings(), p.words.first_action, Codebook(toy.motions()))
    code = sft_loss(LossSettings(form="code"), p.words.first_action, Codebook(toy.motions()))
    whole, _ = loss(net, {**tensors(arrays), "slow": torch.tensor([False, True, False])}, None)
    parts, coded = [], []
    for k, weight in enumerate((1.0, 40.0, 1.0)):
        alone = {**tensors(batch_arrays(p, asked[k : k + 1], answers[k : k + 1], [weight]))}
        alone["slow"] = torch.tensor([k == 1])
        value, figures = loss(net, alone, None)
        assert float(value.detach()) == pytest.approx(
            weight * float(figures["language"] + figures["action"]), rel=1e-5
        )
        parts.append(float(value.detach()))
        value, figures = code(net, alone, None)
        expected = weight * float(figures["language"]) + (float(figures["action"]) if k == 1 else 0.0)
        assert float(value.detach()) == pytest.approx(expected, rel=1e-5)
        coded.append(float(value.detach()))
    assert float(whole.detach()) == pytest.approx(np.mean(parts), rel=1e-5)
    assert coded[1] < parts[1]


@pytest.mark.slow
def test_eight_moments_can_be_learnt_by_heart() -> None:
    net, p = toy.network(), toy.phrases()
    asked, rng = toy.prompts(8), np.random.default_rng(0)
    said = ["", "A person waits."] * 4
    batch = tensors(batch_arrays(p, asked, [answer_ids(p, rng.integers(0, 40, 8), text) for text in said]))
    how = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(150):
        logits, ids, _ = net(batch)
        how.zero_grad()
        torch.nn.functional.cross_entropy(logits, ids).backward()
        how.step()
    logits, ids, _ = net(batch)
    assert bool((logits.argmax(-1) == ids).all())


def old_layout(net: Any, folder: Path) -> None:
    """A checkpoint as the first releases wrote it: a flat config.json, other names of tensors, no head."""
    from safetensors.torch import save_file

    net.net.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text.pop("model_type")
    flat = {**config, **{k: v for k, v in text.items() if k not in ("dtype", "layer_types")}}
    flat |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
        "model_type": "qwen2_5_vl", "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    }  # fmt: skip
    vision = flat["vision_config"]
    vision["in_chans"] = vision.pop("in_channels", 3)
    (folder / "config.json").write_text(json.dumps(flat))
    renamed = {}
    for name, value in net.net.state_dict().items():
        if name == "lm_head.weight":
            continue
        told = name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")
        renamed[told] = value.clone()
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def test_published_layouts_load_whole(tmp_path: Path) -> None:
    own, p = toy.network(), toy.phrases()
    old_layout(own, tmp_path)
    batch = tensors(batch_arrays(p, toy.prompts(1), [answer_ids(p, range(8))]))
    again = load_folder(tmp_path, p.words, dtype=torch.float32).eval()
    # The rows of the actions are drawn anew; all else is as it was.
    kept = p.words.first_action
    table = again.net.get_input_embeddings().weight
    assert torch.equal(table[:kept], own.net.get_input_embeddings().weight[:kept])
    assert not torch.equal(table[kept:], own.net.get_input_embeddings().weight[kept:])
    with torch.no_grad():
        table[kept:] = own.net.get_input_embeddings().weight[kept:]
        assert torch.allclose(again(batch)[0], own(batch)[0], atol=1e-6)
    assert load_folder(tmp_path, p.words).net.dtype == torch.bfloat16
    assert not any(x.requires_grad for x in again.net.model.visual.parameters())


def test_adapters_are_trained_merged_and_drive_from_their_folder(tmp_path: Path) -> None:
    p = toy.phrases()
    old_layout(toy.network(), tmp_path)
    batch = tensors(batch_arrays(p, toy.prompts(1), [answer_ids(p, range(8))]))
    adapted = load_folder(tmp_path, p.words, lora=4, dtype=torch.float32)
    trained = {name for name, x in adapted.named_parameters() if x.requires_grad}
    assert trained
    assert all("lora_" in name or "embed_tokens" in name for name in trained)
    assert any("embed_tokens" in name for name in trained)
    assert adapted(batch)[0].shape[-1] == len(p.words)
    # Fine-tuned, merged and written, it drives from its folder as published: ten actions, five seconds.
    product = Product(adapted, p.words, Codebook(toy.motions()), toy.product().setup, p)
    path = tmp_path / "tuned" / "a.safetensors"
    path.parent.mkdir()
    with torch.no_grad():
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                value.add_(0.1)
    adapted.eval()
    told = adapted(batch)[0].detach()
    card = Card(
        "autovla-sft", "autovla-1", config={"model": {"folder": "x"}}, vocabulary=product.codebook.hash
    )
    save_folder(path, product, card)
    words = load_words(path.parent / "weights", len(product.codebook))
    assert not words.fresh
    again = load_folder(path.parent / "weights", words, dtype=torch.float32).eval()
    assert torch.allclose(again(batch)[0], told, atol=1e-4)
    codebook = str(path.with_suffix(".codebook.npz"))
    planner = AutoVLAPlanner(AutoVLAConfig(str(path.parent / "weights"), codebook))
    assert planner.spec.horizon == 5.0
    assert planner.product.vla.net.dtype == torch.bfloat16
    with pytest.raises(InputError, match="rows alone"):
        load_product(path)


def test_folders_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config\.json"):
        load_folder(tmp_path, toy.words())
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(InputError, match="'llama', not a qwen2_5_vl"):
        load_folder(tmp_path, toy.words())
    with pytest.raises(InputError, match="lora"):
        VLASettings(lora=8)
    with pytest.raises(InputError, match="width"):
        tiny(replace(toy.SMALL, text=replace(toy.SMALL.text, heads=3)), toy.words())


def test_a_prompt_without_pictures_is_text_alone() -> None:
    net, grammar, p = toy.network(), toy.grammar(), toy.phrases()
    blind = Prompt(
        np.array([*p.static, *p.words.ids("speed 8.0 go straight")]), len(p.static),
        np.zeros((0, 1176), dtype=np.float32), np.zeros((0, 3), dtype=np.int64),
    )  # fmt: skip
    ((one,),) = sample(net, grammar, [blind], mode="fast")
    assert len(grammar.parse(one.ids).actions) == toy.ACTIONS
