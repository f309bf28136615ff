"""Weights and their cards: what goes out comes back, and nothing else is let in."""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drive.errors import InputError, UnknownNameError
from drive.nn.weights import Card, card_path, load_weights, read_card, save_weights, shipping_note, write_card

torch: Any = pytest.importorskip("torch")
safetensors: Any = pytest.importorskip("safetensors.numpy")
from drive.nn.tensors import MAX_HEADER, read_tensors, write_tensors  # noqa: E402

CARD = Card(
    recipe="small",
    architecture="small-1",
    seed=3,
    config={"width": 4, "rates": [0.5, 1.0]},
    vocabulary="ab" * 16,
    licences=("Apache-2.0",),
    training={"loss": 0.25},
    figures=({"suite": "val", "command": "drive bench --suite val", "nuplan_cls": 0.5},),
)


def network(width: int = 4, seed: int = 0) -> Any:
    """Weights, a running mean, a counter and a tied weight."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, width), torch.nn.BatchNorm1d(width), torch.nn.Linear(width, width, bias=False)
    )
    model.register_parameter("tied", model[2].weight)
    model(torch.randn(8, 3))
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_weights(path, network(), CARD)
    return path


def test_round_trip(saved: Path) -> None:
    other = network(seed=9)
    found, card = load_weights(saved, other, {"architecture": "small-1", "vocabulary": "ab" * 16})
    assert found is other
    assert not found.training
    for name, value in network().state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
        assert found.state_dict()[name].dtype == value.dtype
    assert card == replace(CARD, sha256=card.sha256, parameters=4 * 3 + 4 + 8 + 16)


def test_somebody_elses_reader_finds_the_same(saved: Path) -> None:
    found = safetensors.load_file(saved)
    own = network().state_dict()
    assert set(found) == set(own)
    for name, value in own.items():
        np.testing.assert_array_equal(found[name], value.numpy())


def test_equal_weights_make_equal_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save_weights(again, network(), CARD)
    assert again.read_bytes() == saved.read_bytes()
    assert card_path(again).read_bytes() == card_path(saved).read_bytes()


def test_the_network_may_be_built_from_the_card(saved: Path) -> None:
    found, _ = load_weights(saved, lambda card: network(card.config["width"], seed=5))
    assert torch.equal(found[0].weight, network()[0].weight)


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda n: n != "__metadata__"),
        st.tuples(
            st.sampled_from(["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"]),
            st.lists(st.integers(0, 3), max_size=3),
        ),
        max_size=5,
    ),
    st.integers(0, 2**31),
)
def test_any_tensors_come_back(kinds: dict[str, tuple[str, list[int]]], seed: int) -> None:
    import tempfile

    draw = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randint(0, 100, shape, generator=draw).to(getattr(torch, kind))
        for name, (kind, shape) in kinds.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.safetensors")
        sha256 = write_tensors(path, tensors)
        found, again = read_tensors(path)
    assert again == sha256
    assert set(found) == set(tensors)
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_a_view_is_saved_as_what_it_shows(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    write_tensors(tmp_path / "t.safetensors", {"turned": whole.T, "part": whole[1:, ::2]})
    found, _ = read_tensors(tmp_path / "t.safetensors")
    assert found["turned"].tolist() == whole.T.tolist()
    assert found["part"].tolist() == [[4.0, 6.0], [8.0, 10.0]]


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"architecture": "gtrs-1"}, "of the architecture 'small-1', not 'gtrs-1'"),
        ({"vocabulary": "cd" * 16}, f"made for the vocabulary '{'ab' * 16}', not '{'cd' * 16}'"),
        ({"vocabulary": ""}, "not 'none'"),
        ({"recipe": "large"}, "of the recipe 'small', not 'large'"),
    ],
)
def test_what_is_expected_is_checked(saved: Path, expect: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        load_weights(saved, network(), expect)
    assert "\n" not in str(error.value)
    assert str(saved) in str(error.value)


def test_an_unknown_expectation(saved: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'architecture'"):
        load_weights(saved, network(), {"architektur": "x"})


def test_another_network_is_told(saved: Path) -> None:
    with pytest.raises(
        InputError, match=r"architecture 'small-1' of 'small'\) does not fit Sequential: .*shape"
    ):
        load_weights(saved, network(width=5))
    with pytest.raises(InputError, match=r"Linear: 2 tensors missing \(weight\), 9 unknown"):
        load_weights(saved, torch.nn.Linear(3, 4))


@pytest.mark.parametrize("size", [0, 3, 8, 20, 100, 300, -1])
def test_truncated_weights(saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(InputError, match=r"no safetensors file|truncated") as error:
        load_weights(saved, network())
    assert "\n" not in str(error.value)


def test_every_flipped_byte_is_noticed(saved: Path) -> None:
    whole = saved.read_bytes()
    for at in range(0, len(whole), 37):
        data = bytearray(whole)
        data[at] ^= 0x55
        saved.write_bytes(data)
        with pytest.raises(InputError):
            load_weights(saved, network())


def header(text: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (pickle.dumps({"weight": 1}), "is a pickle"),
        (b"PK\x03\x04" + bytes(64), "is a pickle"),
        (b"hello, this is a text", "is no safetensors file"),
        (header(b"{}", 2**63), "a header of 9223372036854775808 bytes"),
        (header(b"{" + b" " * (MAX_HEADER + 9)), "a header of"),
        (header(b"{}" + b" " * 6, 100), "ends inside its header"),
        (header(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'), "truncated, or no"),
        (header(b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,16]}}', data=bytes(16)), "or no safe"),
        (header(b'{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}'), "or no safe"),
        (header(b'{"w":{"dtype":"O","shape":[1],"data_offsets":[0,8]}}', None, bytes(8)), "truncated, or no"),
        (header(b'{"w":' * 3000, None, bytes(8)), "truncated, or no"),
    ],
)  # fmt: skip
def test_foreign_and_hostile_files(saved: Path, data: bytes, told: str) -> None:
    saved.write_bytes(data)
    with pytest.raises(InputError, match=told) as error:
        load_weights(saved, network())
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_file_that_is_too_large_is_not_read(saved: Path) -> None:
    with pytest.raises(InputError, match="larger than the 0 MiB"):
        read_tensors(saved, limit=100)


def test_a_card_of_other_weights(saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_weights(other, network(seed=4), CARD)
    card_path(other).replace(card_path(saved))
    with pytest.raises(InputError, match=r"is not what its card 'small\.json' speaks of"):
        load_weights(saved, network())


def test_missing_files(saved: Path) -> None:
    with pytest.raises(InputError, match=r"there are no weights '.*nowhere"):
        load_weights(saved.with_name("nowhere.safetensors"), network())
    card_path(saved).unlink()
    with pytest.raises(InputError, match=r"has no card: there is no 'small\.json' beside it"):
        load_weights(saved, network())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "no card of weights"),
        ('{"schema": "drive-weights/99"}', "no card of weights"),
        ('{"schema": "drive-weights/1", "recipe": "small"}', "lacks architecture, sha256"),
        (
            '{"schema": "drive-weights/1", "recipe": 5, "architecture": "a", "sha256": "b"}',
            "'recipe' is a int",
        ),
        (
            '{"schema": "drive-weights/1", "recipe": "r", "architecture": "a", "sha256": "b", "seconds":NaN}',
            "'seconds' is not finite",
        ),
        (
            '{"schema": "drive-weights/1", "recipe": "r", "architecture": "a", "sha256": "b", "figures":[1]}',
            "'figures' does not hold",
        ),
        ('"' + "x" * (1 << 21) + '"', "too large for a card"),
    ],
)
def test_broken_cards(saved: Path, text: str, told: str) -> None:
    card_path(saved).write_text(text)
    with pytest.raises(InputError, match=told) as error:
        load_weights(saved, network())
    assert "\n" not in str(error.value)


def test_a_later_release_may_say_more(saved: Path) -> None:
    values = json.loads(card_path(saved).read_text())
    card_path(saved).write_text(json.dumps({**values, "weather": "fine"}))
    assert load_weights(saved, network())[1].seed == 3


def test_figures_are_added_later(saved: Path) -> None:
    card = read_card(saved)
    more = ({"suite": "test", "command": "drive bench --suite test", "nuplan_cls": 0.75},)
    write_card(saved, replace(card, figures=card.figures + more))
    assert [entry["suite"] for entry in load_weights(saved, network())[1].figures] == ["val", "test"]
    with pytest.raises(InputError, match="need 'suite' and 'command'"):
        replace(card, figures=({"score": 1.0},))


def test_nothing_is_saved_that_is_not_finite(tmp_path: Path) -> None:
    model = network()
    with torch.no_grad():
        model[0].bias[1] = float("inf")
    with pytest.raises(InputError, match=r"not finite \(0\.bias\)"):
        save_weights(tmp_path / "w.safetensors", model, CARD)
    with pytest.raises(InputError, match="plain, finite values"):
        save_weights(tmp_path / "w.safetensors", network(), replace(CARD, training={"loss": float("nan")}))
    with pytest.raises(InputError, match=r"NAME\.safetensors"):
        save_weights(tmp_path / "w.pt", network(), CARD)
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_to_be_shipped(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    save_weights(path, torch.nn.Linear(1000, 2600), CARD)
    note = shipping_note(path)
    assert note is not None
    assert "has 10.4 MB" in note
    save_weights(path, torch.nn.Linear(1000, 2400), CARD)
    assert shipping_note(path) is None
