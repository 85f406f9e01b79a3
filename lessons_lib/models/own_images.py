"""Images in folders: pixels in the model's size and layout, and the scalings that are usual.

Keras and torchvision read such folders too, each with a scaling that the model's owner chose in
training and that no model file tells. A wrong one costs more than any quantization, so here it is
given, or every usual one is tried on the float model. No image is cut, turned by hand or enhanced.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lessons_lib.errors import InputError
from lessons_lib.models.sample_files import numbered, require_all_classes
from lessons_lib.system.files import display_path
from lessons_lib.tflite.signature import Signature

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
_OF_A_SYSTEM = (".", "__MACOSX")  # what macOS and Jupyter leave in folders
_ORIENTATION = 0x0112  # the EXIF tag
_PARTS = {"train", "training", "test", "val", "valid", "validation", "calibration"}
Shape = tuple[int | None, ...]

# ---- scalings


@dataclass(frozen=True)
class Scaling:
    """From pixels to what the model was trained on: ``(pixels - mean) / std`` in float32.

    ``mean`` and ``std``: one number, or one a channel, of pixels from 0 to 255. ``axis``: of the
    channels, counted from the end. ``reverse``: blue comes first, as in Caffe's models.
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: int = -1
    reverse: bool = False

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return uint8 pixels (..., H, W, C) as float32 of the same shape."""
        pixels = np.flip(pixels, self.axis) if self.reverse else pixels
        shape = (-1, *(1,) * (-self.axis - 1))
        mean, std = (np.float32(part).reshape(shape) for part in (self.mean, self.std))
        return (pixels.astype(np.float32) - mean) / std


_ONE = {
    "0..1": ((0.0,), (255.0,)),  # Rescaling(1 / 255)
    "-1..1": ((127.5,), (127.5,)),  # MobileNet, Xception: x / 127.5 - 1
    "0..255": ((0.0,), (1.0,)),  # a model with its Rescaling inside, such as EfficientNet
}
_COLOUR = {
    # torchvision's mean and std, and Keras' mode "torch"
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # Keras' mode "caffe", of ResNet50 and VGG: blue, green, red, without their means
    "caffe": ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
}


def usual(shape: Shape) -> dict[str, Scaling]:
    """Return every usual scaling by its name, for samples of this shape; some are for colour only.

    ``0..1``, ``-1..1``, ``0..255``, ``imagenet`` and ``caffe``. Defined in lesson 15.
    """
    axis = _channel_axis(shape)
    table = _ONE if axis is None or shape[axis] != 3 else _ONE | _COLOUR
    return {
        name: Scaling(name, mean, std, axis or -1, name == "caffe")
        for name, (mean, std) in table.items()
    }


def scaling(text: str, shape: Shape) -> Scaling:
    """Return the scaling that a text names: a usual one, or ``mean,std``.

    ``mean,std`` are two numbers, or two a channel, the means first: of pixels from 0 to 255 as in
    TensorFlow Lite's metadata (``127.5,127.5``), or, where none is above 1, of pixels from 0 to 1
    as in torchvision (``0.485,0.456,0.406,0.229,0.224,0.225``). Raises InputError for any other
    text, and for ``0,1``, which could be either. Defined in lesson 15.
    """
    found = usual(shape)
    if text in found:
        return found[text]
    axis = _channel_axis(shape)
    channels = 1 if axis is None else shape[axis] or 1
    try:
        numbers = np.array([float(part) for part in str(text).split(",")])
    except ValueError:
        numbers = np.zeros(0)
    half = len(numbers) // 2
    if len(numbers) not in (2, 2 * channels) or not np.isfinite(numbers).all():
        own = "mean,std" if channels == 1 else f"mean,std, or {channels} means and {channels} stds"
        raise InputError(f"scale={text!r}; expected {', '.join(found)}, or {own} (lesson 15)")
    if (numbers[half:] <= 0).any() or tuple(numbers) == (0, 1):
        raise InputError(
            f"scale={text!r}: a std is above 0, and 0,1 could mean pixels from 0 to 1 or to 255: "
            "write 0..1 or 0..255 (lesson 15)"
        )
    numbers = numbers * 255 if (np.abs(numbers) <= 1).all() else numbers
    return Scaling(str(text), tuple(numbers[:half]), tuple(numbers[half:]), axis or -1)


def of_inputs(text: str, signature: Signature) -> dict[str, Scaling]:
    """Return the scaling that a text names for each float input; InputError as ``scaling``."""
    floats = (name for name, spec in signature.inputs.items() if spec.is_float)
    return {name: scaling(text, signature.sample_shape(name)) for name in floats}


def _channel_axis(shape: Shape) -> int | None:
    """Where the samples of an image model have their channels, counted from the end."""
    if len(shape) != 3:
        return None
    return -3 if shape[0] in (1, 3) and shape[2] not in (1, 3, 4) else -1


# ---- pixels


@dataclass(frozen=True)
class Frame:
    """The size and layout of an image that a model takes; a size that it leaves open is None."""

    height: int | None
    width: int | None
    channels: int
    shape: Shape

    def filled(self, size: tuple[int, int]) -> "Frame":
        """The frame with its open sizes taken from an image's (width, height)."""
        return Frame(self.height or size[1], self.width or size[0], self.channels, self.shape)


def frame(signature: Signature) -> Frame:
    """Return the size that the model's one input takes; InputError where that is no image."""
    if len(signature.inputs) != 1:
        raise InputError(
            f"images feed one input, the model takes {', '.join(signature.inputs)}: give an .npz "
            "with an array for each, or a data.py (lesson 15)"
        )
    (name,) = signature.inputs
    shape, dtype = signature.sample_shape(name), signature.inputs[name].dtype
    axis = _channel_axis(shape)
    channels = 1 if len(shape) == 2 else shape[axis] if axis else None
    if channels not in (1, 3, 4) or dtype.kind not in "fu":
        raise InputError(
            f"the model takes {signature.inputs[name]}, which is no image of 1, 3 or 4 channels as "
            "floats or uint8: give an .npz or a data.py (lesson 15)"
        )
    height, width = shape[-2:] if axis == -3 else shape[:2]
    return Frame(height, width, channels, shape)


def pixels(picture: Image.Image, frame: Frame, done: Counter) -> np.ndarray:
    """Return a picture as uint8 in the model's layout, and count in ``done`` what was done to it.

    In the model's channels (what an alpha channel hid is seen, as Keras does it), and resized with
    Pillow's bilinear filter where the size differs.
    """
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        done["of 16 bits, of which the upper 8 were taken"] += 1
    if picture.mode in ("I", "F"):
        raise InputError(f"its pixels are of the kind {picture.mode!r}: save it with 8 bits")
    if frame.channels != 4 and picture.has_transparency_data:
        done["with an alpha channel, which was dropped"] += 1
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[frame.channels]
    if picture.mode != mode and (picture.mode in ("1", "L", "LA")) != (mode == "L"):
        done["turned to grey" if mode == "L" else "in grey, in all channels alike"] += 1
    picture = picture.convert(mode)
    size = (frame.width, frame.height)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        done[f"resized to {size[0]}x{size[1]} (bilinear; the sides' ratio is not kept)"] += 1
    array = np.asarray(picture)
    if _channel_axis(frame.shape) == -3:
        return array.reshape(*array.shape[:2], -1).transpose(2, 0, 1)
    return array.reshape(*array.shape[:2], *(() if len(frame.shape) == 2 else (-1,)))


def of_array(array: np.ndarray, frame: Frame, done: Counter) -> np.ndarray:
    """The same for pixels (H, W, C) that are decoded already."""
    picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
    return pixels(picture, frame.filled(picture.size), done)


def decoded(files: list[Path], frame: Frame, done: Counter) -> Iterator[np.ndarray]:
    """Yield the pixels of image files. Raises InputError with the name of one that is damaged.

    A picture is turned as its EXIF tag says. Open sizes are those of the first one.
    """
    for file in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of tags that are not as they should be
                upright = _upright(file, done)
                frame = frame.filled(upright.size)
                found = pixels(upright, frame, done)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(
                f"{display_path(file)} is damaged or no image ({error}): mend it or take it out of "
                "the folder"
            ) from error
        yield found


def _upright(file: Path, done: Counter) -> Image.Image:
    with Image.open(file) as picture:
        if picture.getexif().get(_ORIENTATION, 1) != 1:
            done["turned as their EXIF tag says"] += 1
        return ImageOps.exif_transpose(picture)


def said(done: Mapping[str, int], count: int) -> tuple[str, ...]:
    """What was done to images, in words for the report."""
    return tuple(f"{number} of {count} images {what}" for what, number in done.items())


# ---- folders


@dataclass(frozen=True)
class Folder:
    """The image files of a folder, and for each the number of its class, where there are any."""

    files: list[Path]
    labels: np.ndarray | None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def listed(folder: Path, signature: Signature) -> Folder:
    """Return the images of ``FOLDER/CLASS/*.png``, or of a flat folder, in sorted order.

    Classes are numbered in the sorted order of their folders. Raises InputError where there are no
    images, images beside folders of classes, one class, another number of classes than the model
    has, or folders called train and test.
    """
    inside = sorted(path for path in folder.iterdir() if not path.name.startswith(_OF_A_SYSTEM))
    folders = [path for path in inside if path.is_dir()]
    flat = [path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not folders:
        return _checked(folder, Folder(flat, None), len(inside) - len(flat))
    if {path.name.lower() for path in folders} <= _PARTS:
        names = [path.name for path in folders]
        raise InputError(
            f"{display_path(folder)} has the folders {', '.join(names)}, which are parts and no "
            f"classes: give one for calibration and another for the test, such as "
            f"calibration={folder / names[0]}, test={folder / names[-1]}"
        )
    if flat:
        raise InputError(
            f"{display_path(folder)} has images, such as {flat[0].name}, beside folders, such as "
            f"{folders[0].name}: put every image into the folder of its class, or all into one"
        )
    names = [path.name for path in folders]
    found = [sorted(path for path in each.rglob("*") if path.is_file()) for each in folders]
    images = [
        [f for f in each if f.suffix.lower() in SUFFIXES and not f.name.startswith(_OF_A_SYSTEM)]
        for each in found
    ]
    files = [file for each in images for file in each]
    if files:
        require_all_classes(names, signature)
    labels = np.repeat(np.arange(len(names)), [len(each) for each in images])
    others = sum(map(len, found)) - len(files)
    return _checked(folder, Folder(files, labels, tuple(names), (numbered(names),)), others)


def _checked(folder: Path, found: Folder, others: int) -> Folder:
    if not found.files:
        raise InputError(
            f"{display_path(folder)} has no images ({', '.join(SUFFIXES)}); expected "
            "FOLDER/CLASS/*.png, or images without classes in one folder (lesson 15)"
        )
    left = (f"{others} files that are no images were left out",) if others else ()
    return Folder(found.files, found.labels, found.classes, found.notes + left)
