"""The process that owns one file.

Run as `python -m tests.bench.worker FILE FEEDS.npz OUTPUTS.npz THREADS`, it loads the file, writes
its outputs for every row of the feeds, and then times one burst of invocations for each line it
reads: the line holds their number, the answer is a JSON list of seconds. An invocation is copying
the inputs in, running, and copying the outputs out.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays], Arrays]


def signature(interpreter: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Find the tensors of a TFLite file's only signature.

    The signature's runner must be gone before the interpreter allocates: so it stays in here.

    Args:
        interpreter: The interpreter.

    Returns:
        Tensor indices of the inputs and of the outputs, by name.
    """
    runner = interpreter.get_signature_runner()
    inputs = {name: detail["index"] for name, detail in runner.get_input_details().items()}
    outputs = {name: detail["index"] for name, detail in runner.get_output_details().items()}
    return inputs, outputs


def load_tflite(path: str, threads: int, row: Arrays) -> Run:
    """Load a TFLite file and fix its shapes to those of a row.

    Args:
        path: The file.
        threads: Threads of the interpreter.
        row: Inputs by the file's names.

    Returns:
        A function from inputs to outputs, by name.
    """
    from ai_edge_litert import interpreter as litert

    interpreter = litert.Interpreter(path, num_threads=threads)
    inputs, outputs = signature(interpreter)
    shapes = {detail["index"]: tuple(detail["shape"]) for detail in interpreter.get_input_details()}
    for name, index in inputs.items():
        if shapes[index] != row[name].shape:
            interpreter.resize_tensor_input(index, row[name].shape)
    interpreter.allocate_tensors()

    def run(feed: Arrays) -> Arrays:
        for name, index in inputs.items():
            interpreter.set_tensor(index, feed[name])
        interpreter.invoke()
        return {name: interpreter.get_tensor(index) for name, index in outputs.items()}

    return run


def load_onnx(path: str, threads: int, row: Arrays) -> Run:
    """Load an ONNX file.

    Args:
        path: The file.
        threads: Threads within an operator; operators run one after another.
        row: Not used: the session takes its shapes from each feed.

    Returns:
        A function from inputs to outputs, by name.
    """
    del row
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads of a worker that waits would keep the processor busy while another one is timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feed: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, feed), strict=True))

    return run


LOADERS = {"tflite": load_tflite, "onnx": load_onnx}


def timed(run: Run, row: Arrays) -> float:
    """Time one invocation.

    Args:
        run: The loaded file.
        row: Its inputs.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    run(row)
    return time.perf_counter() - start


def main(path: str, feeds_file: str, outputs_file: str, threads: int) -> None:
    """Serve bursts until standard input closes.

    Args:
        path: The file to time.
        feeds_file: Inputs by the file's names; the first axis counts rows.
        outputs_file: Where the outputs for these rows go.
        threads: Threads of the runtime.
    """
    # Runtimes print to standard output too: answers keep it, all else goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(feeds_file) as feeds:
        arrays = dict(feeds)
    count = len(next(iter(arrays.values())))
    rows = [{name: array[i : i + 1] for name, array in arrays.items()} for i in range(count)]
    run = LOADERS[path.rpartition(".")[2]](path, threads, rows[0])
    outputs = [run(row) for row in rows]
    stacked = {name: np.concatenate([each[name] for each in outputs]) for name in outputs[0]}
    np.savez(outputs_file, allow_pickle=False, **stacked)
    print("ready", file=answers, flush=True)
    done = 0
    for line in sys.stdin:
        burst = range(done, done + int(line))
        done += len(burst)
        seconds = [timed(run, rows[i % count]) for i in burst]
        print(json.dumps(seconds), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
