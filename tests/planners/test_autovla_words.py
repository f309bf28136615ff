"""Text to ids and back without a network, prompts of scenes, and rationales of what is critical."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import autovla_toy as toy

from drive.errors import InputError
from drive.nn.scene import SceneSizes, empty_scene
from drive.planners.autovla.prompt import answer_ids
from drive.planners.autovla.rationale import facts_of, meta_actions, needs_thought, thought
from drive.planners.autovla.scene_words import PromptSettings, Way, instruction, state_text
from drive.planners.autovla.tokenizer import CONTROL, action, chat, load_words, train_words, words_of_json

motions, phrases, scene, words = toy.motions, toy.phrases, toy.scene, toy.words


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **how: Any) -> None:
        raise AssertionError("something wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_every_byte_and_every_action_comes_back(tmp_path: Path) -> None:
    own = words()
    for text in ("speed 8.3", "Grüße, 道路\n\t<action_3> x  y", "<|im_start|>user\nleft<|im_end|>"):
        assert own.text(own.ids(text)) == text
    ids = own.tokenizer.convert_tokens_to_ids([action(k) for k in range(own.actions)])
    assert ids == list(range(len(own) - own.actions, len(own)))
    assert own.first_action == ids[0]
    assert own.ids(action(7)) == [ids[7]]
    assert set(own.control) >= set(own.tokenizer.convert_tokens_to_ids(list(CONTROL)))
    own.save(tmp_path)
    for again in (load_words(tmp_path, own.actions), words_of_json(own.json(), own.actions)):
        assert len(again) == len(own)
        assert again.ids(chat("a", "b <action_1>")) == own.ids(chat("a", "b <action_1>"))
    with pytest.raises(InputError, match="last"):
        words_of_json(own.json(), own.actions - 1)


def test_equal_texts_make_an_equal_tokenizer() -> None:
    texts = ["speed 8.3 go straight", "turn left"] * 5
    assert train_words(texts, 4, 300).json() == train_words(texts, 4, 300).json()


def test_what_is_no_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no tokenizer\.json"):
        load_words(tmp_path, 3)
    with pytest.raises(InputError, match="no tokenizer"):
        words_of_json("{}", 3)


def test_answers_hold_what_was_said() -> None:
    p = phrases()
    fast, slow = answer_ids(p, range(8)), answer_ids(p, range(8), "A person waits.")
    text = p.words.text(slow)
    assert text.startswith("<think>This is a complex scenario")
    assert "A person waits.</think>" in text
    assert "straightforward" in p.words.text(fast)
    assert fast[-1] == slow[-1] == p.words.end
    assert len(motions()) == p.words.actions


def test_prompts_tell_state_way_and_instruction() -> None:
    past = np.array([[-12.0, 0.0, 0.0], [-8.0, 0.0, 0.0], [-4.0, -0.01, 0.0]])
    assert state_text(scene(), past, PromptSettings()).startswith("speed 8.0 limit 13.9 way 6 0.0")
    text = state_text(scene(), past, PromptSettings(acceleration=True, history=True))
    assert text.startswith("speed 8.0 acceleration 0.0 limit 13.9 past -12.0 0.0 -8.0 0.0 -4.0 0.0 way 6 0.0")
    assert text.endswith("go straight")
    bare = state_text(scene(bend=0.03), past, PromptSettings(way=False))
    assert bare == "speed 8.0 limit 13.9 turn left"
    assert instruction(Way(scene(bend=-0.03))) == "turn right"
    told = state_text(scene([(20.0, 3.0, 0.0, 5.0)], red=12.0), past, PromptSettings(agents=3, lines=True))
    assert "red 12" in told
    assert "vehicle 20 3.0 5 0" in told
    assert "none" in state_text(empty_scene(SceneSizes()), past, PromptSettings())


@pytest.mark.parametrize(
    ("seen", "kind", "slow"),
    [
        (scene(), "free", False),
        (scene([(20.0, 0.0, 0.0, 5.0)]), "lead", False),
        (scene([(20.0, 0.0, 0.0, 0.0)], speed=2.0), "blocked", False),
        (scene([(20.0, 0.0, 0.0, 0.0)]), "closing", True),
        (scene(red=20.0), "red", False),
        (scene([(20.0, 3.0, 0.0, 0.0)], kind=1), "person", True),
        (scene([(25.0, -12.0, np.pi / 2.0, 6.0)]), "crossing", True),
        (scene([(15.0, 3.5, -0.2, 9.0)]), "cutting_in", True),
        (scene([(40.0, 12.0, np.pi, 9.0)], bend=0.03), "oncoming", True),
        (scene([(15.0, -3.0, 0.0, 0.0)]), "hidden", True),
        (scene(stop=12.0), "line", True),
    ],
)
def test_slow_thinking_is_for_what_needs_it(seen: Any, kind: str, slow: bool) -> None:
    facts = facts_of(seen)
    assert facts.kind == kind
    assert needs_thought(facts) is slow


def test_thoughts_say_what_the_expert_does() -> None:
    t = 0.1 * np.arange(1, 41)
    braking = np.stack((8.0 * t - t**2, 0.0 * t, 0.0 * t), 1)
    assert meta_actions(8.0, braking) == ("move forward", "quick deceleration")
    assert meta_actions(8.0, np.stack((8.0 * t, 0.0 * t, 0.0 * t), 1))[1] == "keep speed"
    assert meta_actions(0.0, np.zeros((40, 3)))[1] == "stop"
    seen = scene([(20.0, 3.0, 0.0, 0.0)], kind=1)
    text = thought(seen, braking, facts_of(seen))
    assert "person from the left in 20 m" in text
    assert "I give way" in text
    assert text.endswith("Best action: move forward, quick deceleration.")
