"""A second task, of photographs' size: letters in many fonts, rendered into folders of PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from keras_dynamic.files import write_text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIZE = 96
_FONTS = (
    "DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSansMono DejaVuSansMono-Bold DejaVuSerif DejaVuSerif-Bold "
    "DejaVuSerif-Italic STIXGeneral STIXGeneralBol STIXGeneralItalic cmr10 cmss10 cmtt10"
).split()
_DONE = "rendered.txt"


def render(folder, counts, seed=0) -> Path:
    """Renders images of letters, unless the folder has them already.

    Letters are of random font, size, turn, place and colours; over and beside them lie strokes and smaller letters, and
    some are blurred: a few are easy to read, and a few nobody could.

    Args:
        folder: gets a folder for each part, with a folder of PNG files for each letter.
        counts: {part: images of each letter}.
        seed: of everything random.

    Returns:
        The folder.

    Raises:
        ValueError: if the folder has images of other counts or another seed.
    """
    folder, wanted = Path(folder), f"{dict(counts)} seed {seed}\n"
    done = folder / _DONE
    if done.exists():
        if done.read_text() != wanted:
            raise ValueError(f"{str(folder)!r} holds other images, {done.read_text().strip()!r}; give another folder.")
        return folder
    rng = np.random.default_rng(seed)
    fonts: dict[tuple[str, int], ImageFont.FreeTypeFont] = {}
    for part, count in counts.items():
        for letter in LETTERS:
            (folder / part / letter).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                _image(letter, rng, fonts).save(folder / part / letter / f"{number:04d}.png")
    write_text(done, wanted)
    return folder


def _font(name, size, fonts):
    import matplotlib

    if (name, size) not in fonts:
        path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
        fonts[name, size] = ImageFont.truetype(str(path), size)
    return fonts[name, size]


def _image(letter, rng, fonts) -> Image.Image:
    """Returns one image, RGB."""
    ground = rng.integers(0, 256, 3)
    slope = np.linspace(0, rng.uniform(-60, 60), SIZE)[:, None, None]
    pixels = ground + (slope if rng.random() < 0.5 else slope.transpose(1, 0, 2))
    pixels = np.broadcast_to(pixels, (SIZE, SIZE, 3)) + rng.normal(0, rng.uniform(2, 25), (SIZE, SIZE, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    for _ in range(rng.integers(0, 5)):  # small ones beside it
        _put(image, rng.choice(list(LETTERS)), int(rng.integers(10, 22)), _colour(ground, rng, 60), rng, fonts, 48)
    _put(image, letter, int(rng.integers(40, 80)), _colour(ground, rng, rng.uniform(80, 220)), rng, fonts, 10)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 4)):  # strokes over it
        ends = rng.integers(0, SIZE, 4).tolist()
        draw.line(ends, fill=tuple(rng.integers(0, 256, 3).tolist()), width=int(rng.integers(1, 6)))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2.5))) if rng.random() < 0.4 else image


def _colour(ground, rng, distance):
    """Returns a colour at about so much distance from the ground's."""
    way = rng.normal(size=3)
    found = ground + distance * way / np.linalg.norm(way)
    return tuple(np.where((found < 0) | (found > 255), 2 * ground - found, found).clip(0, 255).astype(int).tolist())


def _put(image, letter, size, colour, rng, fonts, off):
    """Draws a turned letter, its middle at most `off` pixels from the image's."""
    font = _font(rng.choice(_FONTS), size, fonts)
    box = Image.new("L", (2 * size, 2 * size), 0)
    ImageDraw.Draw(box).text((size, size), letter, 255, font, anchor="mm")
    box = box.rotate(rng.uniform(-35, 35), Image.Resampling.BICUBIC)
    corner = (SIZE // 2 - size + rng.integers(-off, off + 1, 2)).tolist()
    image.paste(Image.new("RGB", box.size, colour), tuple(corner), box)
