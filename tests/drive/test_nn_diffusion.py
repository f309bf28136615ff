"""Noise schedules, what networks predict, and sampling where the best denoiser is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drive.errors import InputError

torch = pytest.importorskip("torch", reason="torch is not installed (extra learn)")
from drive.nn.diffusion import (  # noqa: E402
    PREDICTIONS,
    DiffusionSettings,
    add_noise,
    alpha_bars,
    sample,
    target,
    to_clean,
    to_noise,
    visited_steps,
)

COSINE = DiffusionSettings()
LINEAR = DiffusionSettings(steps=1000, schedule="linear")


def test_ends_of_the_schedules():
    # By hand: cos^2(0.018 / 1.008 pi / 2) / cos^2(0.008 / 1.008 pi / 2); the last beta is capped at 0.999.
    cosine = alpha_bars(COSINE)
    assert cosine[0] == pytest.approx(0.999369, abs=1e-6)
    assert cosine[-2] == pytest.approx(2.42851e-4, rel=1e-4)
    assert cosine[-1] == pytest.approx(2.42851e-7, rel=1e-4)
    linear = alpha_bars(LINEAR)
    assert linear[0] == pytest.approx(0.9999, abs=1e-12)
    assert linear[-1] == pytest.approx(4.0358e-5, rel=1e-3)  # of DDPM's thousand steps, widely published
    for bars in (cosine, linear):
        assert (np.diff(bars) < 0.0).all()


@pytest.mark.parametrize("schedule", ["squared_cosine", "linear"])
def test_zero_terminal_signal_is_exact_and_keeps_the_first_step(schedule):
    plain = DiffusionSettings(schedule=schedule, prediction="v")
    zero = DiffusionSettings(schedule=schedule, prediction="v", zero_terminal_snr=True)
    bars = alpha_bars(zero)
    assert bars[-1] == 0.0
    assert bars[0] == pytest.approx(alpha_bars(plain)[0], rel=1e-12)
    assert (np.diff(bars) < 0.0).all()
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(4, 20, generator=generator) for _ in range(2))
    last = torch.full((4,), zero.steps - 1)
    assert torch.equal(add_noise(zero, clean, noise, last), noise)
    assert torch.equal(to_clean(zero, target(zero, clean, noise, last), noise, last), clean)
    with pytest.raises(InputError, match="zero_terminal_snr"):
        DiffusionSettings(prediction="epsilon", zero_terminal_snr=True)


def test_noise_has_the_variance_it_should():
    generator = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(40_000, 1, generator=generator) for _ in range(2))
    for step in (0, 30, 60, 99):
        noisy = add_noise(COSINE, clean, noise, torch.full((40_000,), step))
        assert noisy.var().item() == pytest.approx(1.0, abs=0.03)
        share = torch.corrcoef(torch.cat((noisy, clean), 1).T)[0, 1].item()
        assert share == pytest.approx(math.sqrt(alpha_bars(COSINE)[step]), abs=0.02)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_what_is_predicted_converts_back_and_forth(prediction):
    settings = DiffusionSettings(prediction=prediction)
    generator = torch.Generator().manual_seed(2)
    clean, noise = (torch.randn(100, 10, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    steps = torch.arange(100)
    noisy = add_noise(settings, clean, noise, steps)
    output = target(settings, clean, noise, steps)
    torch.testing.assert_close(to_clean(settings, output, noisy, steps), clean, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(to_noise(settings, output, noisy, steps), noise, atol=1e-9, rtol=1e-9)


def best(settings: DiffusionSettings, mean: float, deviation: float):
    """The denoiser of least error for data from one normal distribution, in closed form."""
    bars = torch.tensor(alpha_bars(settings), dtype=torch.float64)

    def denoise(noisy, steps):
        bar = bars[steps].view(-1, 1)
        gain = deviation**2 * bar.sqrt() / (bar * deviation**2 + 1.0 - bar)
        clean = mean + gain * (noisy - bar.sqrt() * mean)
        if settings.prediction == "sample":
            return clean
        noise = (noisy - bar.sqrt() * clean) / (1.0 - bar).sqrt()
        return noise if settings.prediction == "epsilon" else bar.sqrt() * noise - (1.0 - bar).sqrt() * clean

    return denoise


TOYS = [
    DiffusionSettings(clip=0.0),
    DiffusionSettings(clip=0.0, prediction="v", zero_terminal_snr=True),
    DiffusionSettings(clip=0.0, prediction="sample", schedule="linear", steps=200, last_beta=0.1),
]


def moments(settings: DiffusionSettings, visited: list[int], mean: float, deviation: float, ddpm: bool):
    """What sampling must give: with the best denoiser each step is linear, so that moments go step by step.

    DDPM as in Ho et al., equations 6 and 7 (with the betas between visited steps); DDIM as in Song et al.,
    equation 12 with no noise.
    """
    bars = alpha_bars(settings)
    m, v = 0.0, 1.0
    for step, following in zip(visited, [*visited[1:], None], strict=True):
        bar, left = bars[step], 1.0 if following is None else bars[following]
        gain = deviation**2 * math.sqrt(bar) / (bar * deviation**2 + 1.0 - bar)
        offset = mean * (1.0 - gain * math.sqrt(bar))  # the clean input is offset + gain * noisy
        if ddpm:
            beta = 1.0 - bar / left
            of_clean = math.sqrt(left) * beta / (1.0 - bar)
            of_noisy = math.sqrt(1.0 - beta) * (1.0 - left) / (1.0 - bar)
            noise = (1.0 - left) / (1.0 - bar) * beta
        else:
            of_noisy = math.sqrt((1.0 - left) / (1.0 - bar))
            of_clean, noise = math.sqrt(left) - of_noisy * math.sqrt(bar), 0.0
        m = of_clean * offset + (of_clean * gain + of_noisy) * m
        v = (of_clean * gain + of_noisy) ** 2 * v + noise
    return m, math.sqrt(v)


@pytest.mark.parametrize(("count", "ddpm"), [(0, True), (0, False), (50, True), (20, False)])
@pytest.mark.parametrize("settings", TOYS, ids=["epsilon", "v", "sample"])
def test_ddim_and_ddpm_draw_the_moments_they_should(settings, count, ddpm):
    start = torch.randn(20_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    start = (start - start.mean()) / start.std()
    drawn = sample(
        settings, best(settings, 0.4, 0.3), start.shape, torch.Generator().manual_seed(4),
        count=count, eta=1.0 if ddpm else 0.0, start=start,
    )  # fmt: skip
    mean, deviation = moments(
        settings, visited_steps(settings.steps, count or settings.steps), 0.4, 0.3, ddpm
    )
    assert drawn.mean().item() == pytest.approx(mean, abs=0.01)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.02)
    if count == 0:  # all steps: the data's own moments, whichever way
        assert drawn.mean().item() == pytest.approx(0.4, abs=0.01)
        assert drawn.std().item() == pytest.approx(0.3, rel=0.06)


def test_sampling_is_repeatable_and_clipped():
    settings = DiffusionSettings(steps=20)

    def draw(seed: int, mean: float):
        generator = torch.Generator().manual_seed(seed)
        return sample(settings, best(settings, mean, 0.1), (5, 2), generator, count=7, eta=1.0)

    assert torch.equal(draw(0, 0.4), draw(0, 0.4))
    assert not torch.equal(draw(0, 0.4), draw(1, 0.4))
    assert draw(0, 3.0).abs().max() == 1.0  # the data lie at 3, the bound at 1


def test_training_works_after_inference():
    """Tables that were made in inference mode could not be differentiated through."""
    settings = DiffusionSettings(steps=17, prediction="v")
    noisy, steps = torch.ones(2, 3), torch.tensor((3, 16))
    with torch.inference_mode():
        to_clean(settings, noisy, noisy, steps)
    output = torch.ones(2, 3, requires_grad=True)
    to_clean(settings, output, noisy, steps).sum().backward()
    # clean = sqrt(abar) noisy - sqrt(1 - abar) v
    slopes = [-math.sqrt(1.0 - alpha_bars(settings)[k]) for k in (3, 16)]
    assert output.grad[:, 0].numpy() == pytest.approx(slopes)


def test_visited_steps_end_at_the_last():
    assert visited_steps(100, 100) == list(range(99, -1, -1))
    assert visited_steps(100, 10) == [99, 89, 79, 69, 59, 49, 39, 29, 19, 9]
    assert visited_steps(50, 3) == [49, 32, 16]


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 1}, {"schedule": "cosine"}, {"prediction": "x0"}, {"first_beta": 0.5, "last_beta": 0.1}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        DiffusionSettings(**wrong)
    with pytest.raises(InputError, match="sampling takes"):
        sample(COSINE, lambda noisy, steps: noisy, (1, 1), torch.Generator(), count=101)
