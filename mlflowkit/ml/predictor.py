"""A model in memory, and what it says about one image.

The pixels take the way they took in training: `decode.decode_square`, then mean and
standard deviation from the model's card. It knows nothing of HTTP, and is called from one
thread at a time.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflowkit.errors import BrokenImage, CorruptModel, MissingExtra, TooManyPixels
from mlflowkit.ml.decode import decode_square

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mlflowkit.ml.model import ModelCard


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class, how sure the model is, and the probability of every class (they add up to 1)."""

    label: str
    probability: float
    probabilities: dict[str, float]


@dataclass(frozen=True, slots=True)
class Predictor:
    """A classifier ready to answer."""

    card: ModelCard
    net: nn.Module
    mean: torch.Tensor
    std: torch.Tensor
    max_pixels: int

    def predict(self, image: bytes) -> Prediction:
        """Classify one image in any common format.

        Raises:
            BrokenImage: it is no image, or cut off.
            TooManyPixels: it would take too much memory to decode.
        """
        import torch

        check_pixels(image, self.max_pixels)
        square = decode_square(image, self.card.image_size, name="the image")
        with torch.inference_mode():
            pixels = torch.tensor(square).permute(2, 0, 1).unsqueeze(0).float().div(255)
            logits = self.net(pixels.sub(self.mean).div(self.std))
            found: list[float] = logits.double().softmax(dim=1)[0].tolist()
        by_class = dict(zip(self.card.classes, found, strict=True))
        label = max(by_class, key=by_class.__getitem__)
        return Prediction(label, by_class[label], by_class)


def load_predictor(
    uri: str,
    *,
    connection: str,
    cache: Path | None,
    threads: int | None,
    max_pixels: int,
) -> Predictor:
    """Fetch a model, build its network, and answer once so that the first request is fast.

    Raises:
        DataError: the model is not what its card says.
        ConnectionError_: the place it lies in cannot be reached.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("torch", "serve", "serving a model") from exc
    from mlflowkit.ml.model import download_model, read_model
    from mlflowkit.ml.weights import build_resnet

    if threads:
        torch.set_num_threads(threads)
    folder = download_model(uri, connection=connection, cache=cache)
    card, weights = read_model(folder)
    net = build_resnet(card.arch, len(card.classes))
    try:
        net.load_state_dict(weights)
    except RuntimeError as exc:
        raise CorruptModel(uri, f"its weights are not those of a {card.arch}") from exc
    net.eval()
    predictor = Predictor(
        card,
        net,
        _channels(card.mean),
        _channels(card.std),
        max_pixels,
    )
    predictor.predict(_grey(card.image_size))
    return predictor


def check_pixels(image: bytes, most: int) -> None:
    """Refuse an image by its header, before any of it is decoded.

    Raises:
        BrokenImage: there is no header that any format would have.
        TooManyPixels: width times height is more than `most`.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image)) as picture:
                width, height = picture.size
    except UnidentifiedImageError as exc:
        raise BrokenImage("the image", "it is in no format that is known") from exc
    except Image.DecompressionBombError as exc:
        raise TooManyPixels(None, most) from exc
    except (OSError, ValueError, SyntaxError) as exc:
        raise BrokenImage("the image", str(exc)) from exc
    if width * height > most:
        raise TooManyPixels((width, height), most)


def _channels(values: Any) -> torch.Tensor:
    import torch

    return torch.tensor(list(values), dtype=torch.float32).view(1, -1, 1, 1)


def _grey(size: int) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (size, size), (128, 128, 128)).save(out, "PNG")
    return out.getvalue()
