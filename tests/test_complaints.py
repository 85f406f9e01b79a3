"""What TFLiteConverter complains of, in one line: the operator, the layer, the cure; no MLIR."""

import pytest

from lessons_lib import complaints

LOC = 'loc(callsite(fused["Conv2D:", "model/stem_1/conv@__inference"] at callsite("x"("y"))))'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"<unknown>:0: error: {LOC}: 'tf.FFT' op is neither a custom op nor a flex op\n"
            "<unknown>:0: note: see current operation: %3 = ...",
            "'tf.FFT' op is neither a custom op nor a flex op, in the layer stem: compute the "
            "spectrum outside the model",
        ),
        ("Something else failed\nwith a second line", "Something else failed"),
    ],
)
def test_the_cause_stands_alone(text, said):
    assert complaints.explain(RuntimeError(text)) == said


@pytest.mark.parametrize("start", ["error: failed to legalize operation 'tfl.add' ", ""])
def test_a_whole_operation_on_one_line_is_cut(start):
    dumped = start + " ".join(f"%{n} = tensor<1x28x28x{n}xf32>" for n in range(500))
    said = complaints.explain(RuntimeError(f"{dumped}\nTensorListReserve"))
    assert len(said) < 400 and "\n" not in said
    assert " ...: a recurrent layer needs a fixed batch" in said
