"""A project to try Wolfhound on: draws discs, squares and triangles, and trains a small network to tell them apart.

python shapes.py     writes images/disc, images/square, images/triangle and shapes.safetensors beside this file
"""

from pathlib import Path

import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import nn

CLASSES = ("disc", "square", "triangle")
SIDE = 32


def build():
    """Return the network, which takes pixels in [0, 1], without its weights: Wolfhound loads those from their file."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, len(CLASSES)),
    )


def draw(kind, generator):
    """Return one picture: a shape of random place, size and colour on a noisy ground."""
    numbers = torch.rand(9, generator=generator).tolist()
    ground = [int(100 * n) for n in numbers[:3]]
    colour = tuple(int(130 + 125 * n) for n in numbers[3:6])
    noise = 20 * torch.randn(SIDE, SIDE, 3, generator=generator)
    picture = Image.fromarray((torch.tensor(ground) + noise).clamp(0, 255).to(torch.uint8).numpy())
    radius = 8 + 4 * numbers[6]
    x, y = (radius + (SIDE - 2 * radius) * n for n in numbers[7:9])
    pen = ImageDraw.Draw(picture)
    if kind == "disc":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    elif kind == "square":
        pen.rectangle((x - radius, y - radius, x + radius, y + radius), fill=colour)
    else:
        pen.polygon(((x, y - radius), (x - radius, y + radius), (x + radius, y + radius)), fill=colour)
    return picture


def main():
    """Draw the images, train the network on other ones, and say how well it does."""
    folder, generator = Path(__file__).parent, torch.Generator().manual_seed(0)
    for kind in CLASSES:
        (folder / "images" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(150):
            draw(kind, generator).save(folder / "images" / kind / f"{number:03}.png")
    torch.manual_seed(0)
    network, labels = build(), torch.arange(3000) % 3
    drawn = [torch.frombuffer(bytearray(draw(CLASSES[k], generator).tobytes()), dtype=torch.uint8) for k in labels]
    pixels = torch.stack(drawn).view(-1, SIDE, SIDE, 3).permute(0, 3, 1, 2) / 255
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    for _ in range(15):
        for rows in torch.randperm(2700).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(pixels[rows]), labels[rows]).backward()
            optimiser.step()
    network.eval()
    right = (network(pixels[2700:]).argmax(dim=1) == labels[2700:]).sum()
    print(f"right on {right} of 300 pictures that it was not trained on")
    save_file(network.state_dict(), folder / "shapes.safetensors")


if __name__ == "__main__":
    main()
