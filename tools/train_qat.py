"""Train ``ds_cnn`` for 4 bits, from three of its trainings: ``data/models/ds_cnn/qat``.

Run it with ``.venv/bin/python tools/train_qat.py``; a minute. Lesson 12 trains for itself from
seed 0. A sentence about a method needs more trainings than that: these are committed, so that the
lesson evaluates them in front of its reader and does not train for minutes. For each seed: the
control, which was trained as long without rounding, as weights; and the two files of QAT.
"""

from lessons_lib import data, files, qat, training


def main() -> None:
    dataset = data.load("mnist")
    for seed in qat.SEEDS:
        jobs = [(seed, qat.CONTROL), *((seed, recipe) for recipe in qat.FOUR_BITS.values())]
        start = training.reference("ds_cnn", seed)
        control, *trained = qat.fine_tuned("ds_cnn", start, dataset, jobs, epochs=qat.EPOCHS)
        written = [training.write_weights(control, qat.committed_file(seed, "control.npz"))]
        for name, model in zip(qat.FOUR_BITS, trained, strict=True):
            file = qat.committed_file(seed, f"{name}.tflite")
            written.append(files.write_atomic(file, qat.convert_trained(model)))
        for file in written:
            print(f"{files.display_path(file)}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
