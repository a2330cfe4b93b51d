"""The temporal discriminator: are these three pictures in a row a movement, or do they flicker? torch only.

A generator that sees one picture at a time can flicker between neighbours although each is a good picture. The critic
sees the middle picture and both steps to it (vid2vid, Wang 2018, over three frames), so that an uneven step, a swapped
order or noise between neighbours shows as it is. Real triples are a photo moved evenly towards another (see
`pairs.make_triples`): no home video is needed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from memorial_tasks.face.losses import critic_loss, feature_matching, generator_loss
from memorial_tasks.face.networks import RASTERS, he_
from memorial_tasks.face.team import ALONE, Team

STEP_GAIN = 6.0  # steps between neighbours are small beside a picture


class MotionCritic(nn.Module):
    """Patch discriminator of triples. `forward(triple [B, 3, 3, H, W], rasters [B, 3, H, W]) -> (logits [B, L],
    features)`: time is the second dimension, the rasters are the middle picture's."""

    def __init__(self, base: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(9 + RASTERS, base, 4, 2, 1),
                nn.Conv2d(base, base * 2, 4, 2, 1),
                nn.Conv2d(base * 2, base * 4, 4, 2, 1),
            ]
        )
        self.drop = nn.Dropout2d(dropout)
        self.last = nn.Conv2d(base * 4, 1, 3, 1, 1)
        he_(self)

    def forward(self, triple: Tensor, rasters: Tensor) -> tuple[Tensor, list[Tensor]]:
        before, middle, after = triple.unbind(1)
        x = torch.cat([middle, STEP_GAIN * (middle - before), STEP_GAIN * (after - middle), rasters], 1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.last(self.drop(x)).flatten(1), features


def teach(
    critic: MotionCritic,
    optimiser: torch.optim.Optimizer,
    real: Tensor,
    fake: Tensor,
    rasters: Tensor,
    clip: float,
    team: Team = ALONE,
) -> dict[str, float]:
    """One step of the critic on triples [B, 3, 3, H, W]; its loss `m` and the share of right answers `moved`."""
    real_logits, _ = critic(real, rasters)
    fake_logits, _ = critic(fake.detach(), rasters)
    loss = critic_loss(real_logits, fake_logits)
    optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    team.average_gradients(critic)
    nn.utils.clip_grad_norm_(critic.parameters(), clip)
    optimiser.step()
    right = 0.5 * ((real_logits > 0).float().mean() + (fake_logits < 0).float().mean())
    return {"m": float(loss.detach()), "moved": float(right)}


def loss_of(
    critic: MotionCritic, real: Tensor, fake: Tensor, rasters: Tensor, matching: float, saturating: bool = False
) -> Tensor:
    """What the generator pays for a triple: -log D, and the distance to the real triple's features."""
    critic.requires_grad_(False)
    fake_logits, fake_features = critic(fake, rasters)
    with torch.no_grad():
        _, real_features = critic(real, rasters)
    critic.requires_grad_(True)
    return generator_loss(fake_logits, saturating) + matching * feature_matching(real_features, fake_features)
