"""Qwen2.5-VL with action tokens: a small one from a configuration, or the published one from a local folder.

Nothing is fetched. The network is only called with positions in three dimensions: without them the library
falls back to counting, without a word, and everything still seems to work.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drive.errors import InputError
from drive.nn._torch import Tensor, nn, torch
from drive.planners.autovla.tokenizer import IMAGE, VISION_END, VISION_START, Words, quiet_transformers
from drive.planners.autovla.vision_pack import MERGE, PATCH, TEMPORAL


@dataclass(frozen=True, slots=True)
class TextSettings:
    """The language model: `hidden` wide, of `layers` blocks with `heads` and `kv_heads`, `mlp` within."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 320


@dataclass(frozen=True, slots=True)
class VisionSettings:
    """The vision tower: likewise."""

    hidden: int = 96
    layers: int = 2
    heads: int = 3
    mlp: int = 192


@dataclass(frozen=True, slots=True)
class VLASettings:
    """The network's size; `length` of the longest sequence. `folder` names published weights in place of all
    that, with `lora` the rank of what is trained of them (0: all but the vision tower)."""

    text: TextSettings = field(default_factory=TextSettings)
    vision: VisionSettings = field(default_factory=VisionSettings)
    length: int = 1024
    folder: str = ""
    lora: int = 0

    def __post_init__(self) -> None:
        t, v = self.text, self.vision
        if t.hidden % t.heads or t.heads % t.kv_heads or (t.hidden // t.heads) % 8 or v.hidden % v.heads:
            raise InputError("a VLA's width is a multiple of 8 for each head, its heads one of its kv_heads")
        if self.lora < 0 or (self.lora and not self.folder):
            raise InputError("lora is for published weights: give model.folder too")


WINDOWS = "flash_like_windows"
"""The library's name for `_windows`: it hands all windows at once to what calls itself flash."""


class VLA(nn.Module):
    """The network `net`, called with batches whose positions are given."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        self._compiled = self._attention = ""

    def compile_blocks(self, backend: str = "inductor") -> None:
        """From now on compute with compiled blocks while in training: half the time, and bfloat16 pays. It
        needs a C++ compiler, and half a minute at the first step with sequences of a length."""
        torch._dynamo.config.recompile_limit = 64
        self._compiled, self._attention = backend, self.base.model.language_model.config._attn_implementation
        self.train(self.training)

    def train(self, mode: bool = True) -> VLA:
        super().train(mode)
        if self._compiled:
            model = self.base.model
            for block in (*model.language_model.layers, *model.visual.blocks):
                if mode:
                    block.compile(backend=self._compiled, dynamic=False)
                else:
                    block._compiled_call_impl = None
            # Attention that is written out can be compiled into one with what is around it.
            model.language_model.config._attn_implementation = "eager" if mode else self._attention
        return self

    @property
    def base(self) -> Any:
        """The library's own network, also within an adapter."""
        return self.net.get_base_model() if hasattr(self.net, "get_base_model") else self.net

    def hidden(
        self,
        input_ids: Tensor,
        attention: Tensor,
        positions: Tensor | None,
        patches: Tensor | None = None,
        grid: Tensor | None = None,
        cache: Any = None,
    ) -> Tensor:
        """Hidden states `(B, L, D)`; `attention (B, L)` is 1 where something is, or `(B, 1, L, L)` is added.
        Raises InputError without `positions (3, B, L)`."""
        if positions is None or positions.shape != (3, *input_ids.shape):
            raise InputError(
                "a VLA is called with positions (3, B, L): without them it counts in one dimension"
            )
        if attention.ndim == 4:
            attention = attention.to(self.base.dtype)
        seen = patches is not None and len(patches) > 0
        out = self.base.model(
            input_ids=input_ids,
            attention_mask=attention,
            position_ids=positions,
            past_key_values=cache,
            pixel_values_videos=patches.to(self.base.dtype) if seen and patches is not None else None,
            video_grid_thw=grid if seen else None,
            use_cache=cache is not None,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits `(..., V)` in float32 of hidden states `(..., D)`."""
        return self.base.lm_head(hidden).float()  # type: ignore[no-any-return]

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Of a batch with answers: logits `(N, V)` that predict them, the answers' ids `(N,)`, and the row of
        the batch `(N,)` that each belongs to."""
        return self.told(self.seen(batch), batch["labels"])

    def seen(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Hidden states `(B, L, D)` of a batch."""
        return self.hidden(
            batch["input_ids"], batch["attention"], batch.get("positions"), batch["patches"], batch["grid"]
        )

    def told(self, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What hidden states `(B, L, D)` say of the answers in labels `(B, L)`, as `forward`."""
        after = labels[:, 1:]
        row, column = torch.nonzero(after >= 0, as_tuple=True)
        return self.logits(hidden[row, column]), after[row, column], row


def tiny(settings: VLASettings, words: Words) -> VLA:
    """A small network with random weights, of torch's generator."""
    transformers = quiet_transformers()
    t, v = settings.text, settings.vision
    half = t.hidden // t.heads // 2
    section = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
    one = words.tokenizer.convert_tokens_to_ids
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(words), "hidden_size": t.hidden, "intermediate_size": t.mlp,
            "num_hidden_layers": t.layers, "num_attention_heads": t.heads,
            "num_key_value_heads": t.kv_heads, "max_position_embeddings": settings.length,
            "tie_word_embeddings": True, "bos_token_id": words.pad, "eos_token_id": words.end,
            "pad_token_id": words.pad,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": section},
        },
        vision_config={
            "depth": v.layers, "hidden_size": v.hidden, "intermediate_size": v.mlp, "num_heads": v.heads,
            "out_hidden_size": t.hidden, "patch_size": PATCH, "spatial_merge_size": MERGE,
            "temporal_patch_size": TEMPORAL, "window_size": 4 * MERGE * PATCH, "tokens_per_second": 2,
            "fullatt_block_indexes": [v.layers - 1], "in_channels": 3,
        },
        image_token_id=one(IMAGE), video_token_id=words.video, vision_start_token_id=one(VISION_START),
        vision_end_token_id=one(VISION_END), tie_word_embeddings=True,
    )  # fmt: skip
    net = transformers.Qwen2_5_VLForConditionalGeneration(config)
    tower = net.model.visual
    tower.patch_embed = _Patches(tower.patch_embed.proj)
    transformers.AttentionInterface.register(WINDOWS, _windows)
    tower.config._attn_implementation = WINDOWS
    return VLA(net)


class _Patches(nn.Module):
    """The library's embedding of patches: its convolution has but one place to go, and as a product its
    gradient is many times cheaper."""

    def __init__(self, proj: Any) -> None:
        super().__init__()
        self.proj = proj

    def forward(self, patches: Tensor) -> Tensor:
        weight = self.proj.weight.flatten(1)
        return torch.nn.functional.linear(patches.to(weight.dtype), weight)


def _windows(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *, scaling: float,
    cu_seq_lens_q: Tensor, max_length_q: int, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Attention `(1, L, heads, D)` within windows that begin at `cu_seq_lens_q`, all at once where they are
    equally long; the library's own goes through them one by one."""
    count, (heads, length, width) = len(cu_seq_lens_q) - 1, query.shape[1:]
    if count * max_length_q == length:
        q, k, v = (x.reshape(heads, count, max_length_q, width).transpose(0, 1) for x in (query, key, value))
        out = ((q * scaling) @ k.transpose(-1, -2)).softmax(-1).to(v.dtype) @ v
        return out.transpose(1, 2).reshape(1, -1, heads, width), None
    lengths = (cu_seq_lens_q[1:] - cu_seq_lens_q[:-1]).tolist()
    parts = [torch.split(x, lengths, 2) for x in (query, key, value)]
    each = [
        torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scaling)
        for q, k, v in zip(*parts, strict=True)
    ]
    return torch.cat(each, 2).transpose(1, 2), None


def load_folder(folder: str | Path, words: Words, lora: int = 0, dtype: Any = None) -> VLA:
    """Published weights from a local folder in bfloat16, with new rows for the action tokens.

    Checkpoints of the first releases (flat config.json, `visual.*` and `model.*` as keys) are read as well.
    With `lora` the language model's attention gets adapters of that rank and, beside them, all embeddings are
    trained, so that the action tokens' rows are. Raises InputError for a folder that is none.
    """
    place = Path(folder)
    if not (place / "config.json").is_file():
        raise InputError(f"'{place}' holds no config.json: give a folder with Qwen2.5-VL's files")
    try:
        kind = json.loads((place / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"'{place / 'config.json'}' is not JSON ({error})") from None
    if kind != "qwen2_5_vl":
        raise InputError(f"'{place}' holds a '{kind}', not a qwen2_5_vl")
    transformers = quiet_transformers()
    try:
        net, report = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(
            str(place), local_files_only=True, dtype=dtype or torch.bfloat16, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(f"'{place}' cannot be loaded ({' '.join(str(error).split())[:160]})") from None
    missing = [name for name in report["missing_keys"] if name != "lm_head.weight"]
    if missing or report["unexpected_keys"]:
        odd = [*missing, *report["unexpected_keys"]][0]
        raise InputError(f"'{place}' does not fit: {len(missing)} tensors missing, as '{odd}'")
    # The default would compute a covariance of the whole table to draw the new rows from.
    net.resize_token_embeddings(len(words), mean_resizing=False)
    if words.fresh:
        _draw_actions(net, words)
    for parameter in net.model.visual.parameters():
        parameter.requires_grad_(False)
    return VLA(_with_lora(net, lora) if lora else net)


def _draw_actions(net: Any, words: Words) -> None:
    """Begin the actions' rows near the mean of all others; some of them were there, and never trained."""
    with torch.no_grad():
        table = net.get_input_embeddings().weight
        known = table[: words.first_action].float()
        noise = torch.randn_like(table[words.first_action :], dtype=torch.float32) * 0.1 * known.std(0)
        table[words.first_action :] = (known.mean(0) + noise).to(table.dtype)


def _with_lora(net: Any, rank: int) -> Any:
    from drive._imports import import_target

    peft = import_target("peft", "the recipe 'autovla-sft' with model.lora")
    # Vision blocks have one projection for all three: these names are the language model's alone.
    how = peft.LoraConfig(
        r=rank, lora_alpha=rank, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, at a name that peft still asks for
        adapted = peft.get_peft_model(net, how)
    adapted.get_base_model().get_input_embeddings().weight.requires_grad_(True)
    return adapted


__all__ = ["VLA", "TextSettings", "VLASettings", "VisionSettings", "load_folder", "tiny"]
