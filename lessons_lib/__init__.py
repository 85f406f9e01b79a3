"""The house on one screen: every room of the library, and what it is about, floor by floor.

A room imports only from rooms above it on this list. The names in the second column are public:
``from lessons_lib import affine`` finds ``lessons_lib.numbers.affine``, and imports it when it is
first used, so ``import lessons_lib`` costs nothing.
"""

import importlib

__version__ = "0.1.0"

HOUSE = """
(ground)    errors          errors that teach: what was given, what was expected, which lesson
system      files           where files go, and how: whole or not at all
system      quiet           silence, where libraries write past Python
system      warm            a process that has imported, and forks: a child begins at once
system      sandbox         a fresh process for what may crash: unknown bytes meet native code here
system      limits          a command held to a time, to memory, processes, bytes written
numbers     affine          reals to integers and back: scale, zero point, quantize, dequantize
numbers     noise           how far an array is from the one it should be: RMS, decibels
numbers     half_precision  float16: its bits, the distance between neighbours
numbers     fixed_point     multiplier and shift: integers where mathematics has a real number
numbers     folding         weights rewritten before they are quantized: folding, equalization
tflite      reader          a .tflite as the objects of its schema: read, checked, written again
tflite      signature       what a model takes and gives: named tensors, shapes, dtypes, scales
tflite      layer_names     which layer a tensor belongs to, read from its name
tflite      tables          its operators, tensors, bytes; is it integer-only
tflite      samples         samples: arrays by input name, in the model's own dtypes
tflite      edit            a .tflite changed: a signature put in front, operators taken out
models      corruption      the same images, harder: dimmed, noisy, turned, shifted
models      data            datasets in three disjoint parts
models      architectures   the course's small Keras models
models      sources         a float model as you have it: SavedModel, Keras, .tflite
models      examples        four models that are not the digits, and their samples
models      unseen          files that no lesson has shown, for the open tasks
models      variants        a Keras model built otherwise, with the same weights
models      sample_files    samples and targets in files, block by block, cast and checked
models      own_images      folders of images, and the scalings that are usual
models      own_data        your samples and targets: .npz, .csv, images, data.py, TFDS
models      training        training with seeds; the course's trained models
run         micro           TFLite-Micro, the runtime of microcontrollers
run         runtime         LiteRT: named arrays in, named arrays out
run         compiled        the same by LiteRT's CompiledModel, its newer interface
run.engine  delegate        which operators XNNPACK takes over, and which it leaves
run.engine  variables       what a model keeps between calls, at its start
run.engine  integer_graph   a full-integer file as the engine runs it
run.engine  apart           which models keep the samples of a batch apart
run.engine  rescaling       from an accumulator back to a code: where runtimes differ
run.engine  windows         how a filter or a pool moves over images
run.engine  weighted        convolutions and dense layers in integers
run.engine  reduced         the mean, the largest, its place, in integers
run.engine  elementwise     sums and products of codes, one by one
run.engine  curves          sigmoid, tanh, hard swish, softmax without floats
run.engine  recurrent       an LSTM and SVDF in integers
run.engine  resized         images of another size, codes of the same scale
run.engine  shapes          codes moved, shapes computed
run.engine  integer_engine  the same integers from scratch in NumPy, to the last bit
convert     paths           one row a path: its settings, its promise; the tree that chooses
convert     calibration     representative samples: are they fit, what do they record
convert     complaints      what TFLiteConverter complains of, in words
convert     outcome         what came of one path: the file, or the reason why not
convert     saturation      filters of nothing, whose bias no 32 bits hold
convert     by_litert       float .tflite to quantized, by LiteRT's quantizer
convert     by_tensorflow   SavedModel to .tflite, by TFLiteConverter
convert     every_path      one model down many paths, each by itself
convert     qat             training that knows of the rounding to come
judge       evaluate        how good, how sure, and McNemar's test between two
judge       measures        what good means, for each kind of task
judge       tasks           which task an output has
judge       verdict         is the drop real, in words
judge       layer_errors    which layer is at fault
judge       benchmark       how fast, how much memory
judge       fingerprint     which runtime gave these outputs
targets     browser         a model for a browser, and what a browser gave
targets     arena           where activations lie in a small memory: one block, shared over time
targets     c_calls         the words of C: a call, its constants, walks through memory
targets     c_layers        layers with weights, pools, resized images, an LSTM as calls in C
targets     c_operators     each integer operator as a call in C, with its constants
targets     c_source        a full-integer model as one C file
targets     c_float         a float32 model as C, for comparison
targets     firmware        C files, a test vector and a Makefile, for who builds the device
targets     board           that C compiled for a small processor, and run in an emulator
targets     npu             that model compiled for an NPU: what lands there, what does not, and why
advise      jobs            independent jobs: each result in a file, here or on a Dask cluster
advise      brought         your model, made into what can be converted
advise      guards          is the data fit, is the float model any good: asked first
advise      evidence        what files are judged on: your samples, or random inputs
advise      report          everything that was found, as JSON with a schema; compared with an older
advise      close_up        one file looked into: layers, worst tensor, bytes, samples that flipped
advise      trials          one try after the other: file, answers, verdict, time
advise      mixed_precision which blocks stay in float, and which do with four bits
advise      repairs         what broke, why, and the try that mends it
advise      diagnosis       what is said of a file beside its verdict: ranges or resolution
advise      recommendation  which file to take on which machine, and why
advise      bundle          what runs without the course: run.py, reproduce.py, recipe.json
advise      page            the report as one HTML page, offline
advise      outputs         all that a run leaves in its folder
course      plots           the figures
course      widgets         sliders, quizzes, predictions
course      checks          what answers an exercise
course      catalogue       the parts of the course, the question of each lesson
course      notebooks       a lesson's notebook: read, run, described
course      article         the article's statements, and what the lessons found
course      restoring       a submission put back into the shape of what was released
course      classroom       a class's assignments, made from lessons, graded through nbgrader
course      doctor          is this machine fit for the lessons, and what mends what is not
(top)       quantize        the whole job for any model, on one page
(top)       scoreboard      the digits' model on every path, in one table
(top)       cli             the command: lessons quantize, run, lab, scoreboard, doctor
"""
ROOMS = [tuple(line.split(maxsplit=2)) for line in HOUSE.strip().splitlines()]
_HOMES = {
    room: ".".join([__name__, *([] if package.startswith("(") else [package]), room])
    for package, room, _ in ROOMS
}


def __getattr__(name: str):
    if name in _HOMES:
        return importlib.import_module(_HOMES[name])
    raise AttributeError(f"lessons_lib has no module {name!r}; it has: {', '.join(_HOMES)}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
