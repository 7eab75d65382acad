"""Errors of images, weights and models."""

from __future__ import annotations

from collections.abc import Iterable

from mlflowkit.errors.base import UserError, listing, suggest


class DataError(UserError):
    """Images, weights or models that are not what they should be."""

    code = "data"


class NoImages(DataError):
    """A place that should hold images holds none."""

    code = "no_images"

    def __init__(self, uri: str, connection: str, skipped: int = 0) -> None:
        self.uri, self.connection, self.skipped = uri, connection, skipped
        found = f"only {skipped} objects that are not images" if skipped else "no objects"
        super().__init__(
            f"there are no images under {uri} (connection {connection!r}): {found} were found. "
            "Check the bucket and the prefix; a prefix is a folder: 'train' does not "
            "stand for 'training/'."
        )


class BadImages(DataError):
    """Objects that should be images and cannot be read as such."""

    code = "bad_images"

    def __init__(self, uri: str, bad: Iterable[tuple[str, str]]) -> None:
        self.uri, self.bad = uri, tuple(bad)
        named = listing(f"{key!r} ({reason})" for key, reason in self.bad)
        super().__init__(
            f"{len(self.bad)} of the objects under {uri} are not whole images: {named}. "
            'Mend or remove them, or use on_error="skip" to leave them out.'
        )


class ImageGone(DataError):
    """An object that a manifest names is no longer what it was."""

    code = "image_gone"

    def __init__(self, uri: str, key: str, why: str) -> None:
        self.uri, self.key, self.why = uri, key, why
        super().__init__(
            f"the object {key!r} of the manifest of {uri} {why}. "
            "Run load_images again to make a manifest of what is there now."
        )


class ModelMissing(DataError):
    """A place that should hold a model holds none."""

    code = "model_missing"

    def __init__(self, where: str, looked_for: str) -> None:
        self.where, self.looked_for = where, looked_for
        super().__init__(
            f"there is no model at {where}: it has no {looked_for}. Give the URI that "
            "upload_model returned, or the folder that save_model wrote."
        )


class CorruptModel(DataError):
    """A model whose files are not the ones that were saved."""

    code = "corrupt_model"

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the model at {where} is damaged: {why}. It was not loaded; save or upload it again."
        )


class UnknownModelFormat(DataError):
    """A model written by a newer mlflowkit."""

    code = "unknown_model_format"

    def __init__(self, where: str, found: object, known: int) -> None:
        self.where, self.found, self.known = where, found, known
        super().__init__(
            f"the model at {where} has format {found!r}; this mlflowkit reads up to {known}. "
            "Upgrade mlflowkit where the model is used."
        )


class BrokenImage(DataError):
    """A file that should be a picture cannot be decoded."""

    code = "broken_image"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(
            f"{name!r} is not a readable image: {reason}. Replace or remove it, "
            'or read the images with on_error="skip".'
        )


class ClassTooSmall(DataError):
    """A class has too few different images to be split."""

    code = "class_too_small"

    def __init__(self, label: str, images: int, needed: int) -> None:
        self.label, self.images, self.needed = label, images, needed
        super().__init__(
            f"class {label!r} has {images} different image{'s' * (images != 1)}, but at least "
            f"{needed} are needed to have some for training and others for testing. "
            f"Add images to the folder {label!r}, or leave the folder out."
        )


class OneClassOnly(DataError):
    """There is nothing to tell apart."""

    code = "one_class_only"

    def __init__(self, classes: Iterable[str]) -> None:
        self.classes = list(classes)
        super().__init__(
            f"a classifier needs at least two classes, but the images have: "
            f"{listing(self.classes)}. An image's class is the folder it lies in: "
            "is the prefix one folder too deep?"
        )


class WrongFractions(DataError):
    """Shares of the images that cannot be split off."""

    code = "wrong_fractions"

    def __init__(self, val_fraction: float, test_fraction: float) -> None:
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        super().__init__(
            f"val_fraction={val_fraction} and test_fraction={test_fraction} leave no sound "
            "training set: each must be at least 0, and both together less than 1."
        )


class NotADataset(DataError):
    """A folder that should hold packed images does not."""

    code = "not_a_dataset"

    def __init__(self, folder: object, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"{folder} is not a folder of packed images: {reason}. "
            "Make one with mlflowkit.ml.preprocess.preprocess(manifest, out=...)."
        )


class TooFewImages(DataError):
    """A split has too few images for what is asked of it."""

    code = "too_few_images"

    def __init__(self, split: str, images: int, needed: int) -> None:
        self.split, self.images, self.needed = split, images, needed
        super().__init__(
            f"the {split} split has {images} image{'s' * (images != 1)}, but at least {needed} "
            "are needed. Add images, or change the fractions of the split."
        )


class OutputInUse(DataError):
    """A result would be written over something else."""

    code = "output_in_use"

    def __init__(self, folder: object) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} exists and holds something else. Nothing was written: "
            "give another folder, or empty this one."
        )


class UnknownArch(DataError):
    """A network that is not built here."""

    code = "unknown_arch"

    def __init__(self, arch: str, known: Iterable[str]) -> None:
        known = list(known)
        self.arch = arch
        super().__init__(
            f"there is no architecture {arch!r} (there are: {listing(known)})."
            f"{suggest(arch, known)}"
        )


class WeightsNotFound(DataError):
    """A file of weights is not where it should be."""

    code = "weights_not_found"

    def __init__(self, path: object) -> None:
        self.path = path
        super().__init__(
            f"there are no weights at {path}. Give a .safetensors, .pth or .pt file, the folder "
            'of a saved model, "imagenet" for torchvision\'s own, or None to start from scratch.'
        )


class CorruptWeights(DataError):
    """A file of weights that cannot be read."""

    code = "corrupt_weights"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"the weights in {path} cannot be used: {reason}. "
            "The file may be cut off or damaged: copy it again, or take another one."
        )


class UnsafeWeights(DataError):
    """A file of weights that would run code when it is opened."""

    code = "unsafe_weights"

    def __init__(self, path: object, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(
            f"{path} holds more than weights, and opening it could run code: {reason}. "
            "It was not opened. Save the state dict alone, best as .safetensors."
        )


class WeightsDoNotFit(DataError):
    """Weights of another network."""

    code = "weights_do_not_fit"

    def __init__(self, path: object, arch: str, reason: str, fits: str | None) -> None:
        self.path, self.arch, self.reason, self.fits = path, arch, reason, fits
        hint = f" They fit {fits}: use arch={fits!r}." if fits else ""
        super().__init__(
            f"the weights in {path} are not those of a {arch}: {reason}.{hint}"
        )


class WeightsUnavailable(DataError):
    """Ready-made weights could not be downloaded."""

    code = "weights_unavailable"

    def __init__(self, arch: str, url: str, reason: str) -> None:
        self.arch, self.url, self.reason = arch, url, reason
        super().__init__(
            f"the ready-made weights of {arch} could not be downloaded from {url}: {reason}. "
            "Download the file where there is a network and give its path as weights=, "
            "or start from scratch with weights=None."
        )
