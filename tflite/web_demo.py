r"""Writes a web page on which a dynamic .tflite classifies images in the browser, beside its static network.

    make setup-web
    python tflite/web_demo.py --output=site --serve
    python tflite/web_demo.py --model=exits.tflite --static=plain.tflite --images=photos --output=site

The page, by LiteRT.js, shows which parts of the network each image ran and its time over the static network's, for
files and the camera. A model exported with --outputs=logits,decisions,macs tells the most; of one exported with
--thresholds=input and calibration images a slider chooses the budget, at first half of the static network's MACs. int8
files get float32 ends. --stages runs the model as stages (kd.lite.stages), in whose file there is no condition. Without
--model it is a cascade of the zoo. The folder is a static site: any web server serves it, and --serve does so here.
--measure opens it in headless Chromium and prints the mean times; --record=ID writes them to results/.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import terminal
from absl import app, flags
from class_names import class_names
from models import static_file
from PIL import Image, ImageOps

_MODEL = flags.DEFINE_string("model", None, "the dynamic .tflite; a cascade of the zoo by default")
_STATIC = flags.DEFINE_string(
    "static",
    None,
    "the static network that it is compared with: any plain .tflite, or beside a float32 model a .keras file or "
    "zoo:NAME; needed with --model",
)
_OUTPUT = flags.DEFINE_string("output", None, "new or empty folder for the site", required=True)
_SAMPLES = flags.DEFINE_integer("samples", 12, "of the cascade of the zoo: test images that ship", lower_bound=1)
_IMAGES = flags.DEFINE_string("images", None, "of --model: folder of image files that the page begins with")
_QUANTIZE = flags.DEFINE_enum("quantize", "none", ["none", "int8"], "of the cascade of the zoo")
_STAGES = flags.DEFINE_bool("stages", False, "run a cascade, or a network with exits, as stages without IF")
_SERVE = flags.DEFINE_bool("serve", False, "serve the site on this computer until Ctrl-C")
_MEASURE = flags.DEFINE_string("measure", None, "JSON file for what headless Chromium finds of the samples")
_RECORD = flags.DEFINE_string("record", None, "id of the record of --measure to write to results/")
_CHROMIUM = flags.DEFINE_string("chromium", "chromium", "the browser of --measure")
_PORT = flags.DEFINE_integer("port", 8000, "of --serve", lower_bound=0)

_WEB = Path(__file__).parent / "web"
_UNUSED = ("*.map", "*.d.ts", "*metafile*", "*_threaded_*", "*_jspi_*")  # of LiteRT: the page runs on one thread
_BUDGETS = 12  # places of the slider
_WAIT = 600  # seconds that a browser may take


def main(argv):
    """Writes the site and, if asked, serves or measures it."""
    if len(argv) > 1:
        raise app.UsageError(f"expected flags only, got {argv[1:]}.")
    with terminal.ending("web_demo"):
        check_flags()
        with terminal.quiet():
            write_site(Path(_OUTPUT.value))
        print(f"{_OUTPUT.value} holds the site; {_OUTPUT.value}/index.html is its page.")
        if _MEASURE.value:
            start = time.monotonic()
            figures = measure(Path(_OUTPUT.value), Path(_MEASURE.value))
            print("\n".join(f"{name} {value:.4g}" for name, value in figures.items()))
            if _RECORD.value:
                write(figures, time.monotonic() - start)
        if _SERVE.value:
            serve(Path(_OUTPUT.value))


def check_flags():
    """Raises a ValueError for flags that do not go together, before anything is written."""
    given = [f"--{name}" for name in ("quantize", "samples") if flags.FLAGS[name].present]
    if _MODEL.value is None:
        if _STATIC.value is not None:
            raise ValueError("--static is compared with --model, got none; give the dynamic .tflite too.")
    elif _STATIC.value is None:
        raise ValueError("--model needs --static, the .tflite of the network that it is compared with.")
    elif given or _RECORD.value:
        raise ValueError(
            f"{' and '.join(given) or '--record'}: only for the cascade of the zoo; leave it out beside --model."
        )
    elif _MEASURE.value and _IMAGES.value is None:
        raise ValueError("--measure needs images; give --images, a folder of image files.")
    if _IMAGES.value is not None and (_MODEL.value is None or not Path(_IMAGES.value).is_dir()):
        raise ValueError(
            f"--images is a folder of image files, of --model, got {_IMAGES.value!r}; the zoo has --samples."
        )
    if _RECORD.value and not _MEASURE.value:
        raise ValueError("--record is of what --measure finds; give both.")
    if _MEASURE.value and shutil.which(_CHROMIUM.value) is None:
        raise ValueError(f"--measure needs Chromium, got --chromium={_CHROMIUM.value!r}, which is no program here.")


def write_site(folder: Path):
    """Writes page, models, samples and LiteRT into a folder.

    Args:
        folder: new or empty.

    Raises:
        ValueError: if the folder is not, --static is missing or of other classes, or LiteRT is not installed.
    """
    from keras_dynamic import lite
    from keras_dynamic.files import replacing_folder

    package = _WEB / "node_modules/@litertjs"
    if not package.is_dir():
        raise ValueError(f"LiteRT.js is not in {package}; install it by `make setup-web` (it needs Node.js's npm).")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--output must be a new or empty folder, got {str(folder)!r}.")
    dynamic, static, samples = _files()
    config = _config(dynamic, static) | {"samples": [f"{number}.png" for number in range(len(samples))]}
    if _STAGES.value:
        dynamic = lite.join_stages(lite.stages(dynamic))
        known = lite.read_metadata(dynamic)
        config["stages"] = {name: known[name] for name in ("stages", "stage_macs", "stops_at")}
    with replacing_folder(folder) as made:
        for name in ("index.html", "page.js", "stages.js", "style.css"):
            shutil.copy(_WEB / name, made / name)
        for part, name in (("core/dist", "core"), ("wasm-utils/dist", "utils"), ("core/wasm", "wasm")):
            shutil.copytree(package / part, made / "litert" / name, ignore=shutil.ignore_patterns(*_UNUSED))
        (made / "samples").mkdir()
        for number, image in enumerate(samples):
            image.save(made / f"samples/{number}.png")
        for name, content in (("dynamic", dynamic), ("static", static)):
            (made / f"{name}.tflite").write_bytes(lite.float_io(content))
        (made / "config.json").write_text(json.dumps(config))


def _files():
    """Returns the bytes of the dynamic .tflite and of the static one, and images to begin with."""
    from keras_dynamic import lite

    if _MODEL.value is not None:
        paths = sorted(Path(_IMAGES.value).iterdir()) if _IMAGES.value else []
        samples = [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths]
        dynamic = Path(_MODEL.value).read_bytes()
        quantize = (lite.read_metadata(dynamic) or {}).get("quantize")
        if quantize == "int8" and Path(_STATIC.value).suffix != ".tflite":
            raise ValueError(
                f"--static must be a .tflite beside an int8 model, got {_STATIC.value!r}; export it by export_model.py "
                "with --quantize=int8."
            )
        return dynamic, static_file(_STATIC.value, quantize), samples
    from keras_dynamic import data, zoo
    from keras_dynamic.models import cascade

    images = data.shipped()
    model = cascade([zoo.load("resnet8_cifar10_45k"), zoo.load("resnet20_cifar10_45k")])
    model.fit_temperatures(images.x_heldout, images.y_heldout)
    model.fit_thresholds(images.x_heldout, images.y_heldout, macs=22e6)
    how = {"quantize": None if _QUANTIZE.value == "none" else "int8", "calibration": images.x_heldout}
    how["labels"] = list(images.class_names)
    dynamic = lite.export(model, outputs=("logits", "decisions", "macs"), thresholds="input", **how)
    samples = [Image.fromarray(image) for image in images.x_test[: _SAMPLES.value]]
    return dynamic, lite.export(zoo.load("resnet20_cifar10_45k"), **how), samples


def _config(dynamic, static) -> dict:
    """Returns what the page must know of the two models."""
    from keras_dynamic import lite
    from keras_dynamic.lite import flatbuffer
    from keras_dynamic.lite.metadata import signature_names

    metadata, port = lite.read_metadata(dynamic) or {}, {}
    if (lite.read_metadata(static) or {}).get("decisions"):
        raise ValueError(
            "--static must be a file without decisions, got one with some; are --model and --static swapped?"
        )
    for name, content in (("dynamic", dynamic), ("static", static)):
        inputs, outputs = signature_names(flatbuffer.load(content))
        further = [each for each in inputs[1:] if each != "thresholds"]
        if "logits" not in outputs or inputs[0] != "image" or further:
            raise ValueError(
                f"the {name} model must take 'image', and perhaps 'thresholds', and give 'logits', got {inputs} and "
                f"{outputs}; export it with export_model.py."
            )
        port[name] = {"inputs": inputs, "outputs": outputs}
    opened = [lite.Interpreter(content) for content in (dynamic, static)]
    (size, logits), (other_size, other_logits) = (
        (each.inputs["image"].shape, each.outputs["logits"].shape) for each in opened
    )
    if (size, logits) != (other_size, other_logits):
        raise ValueError(
            "both models must take images of one size and have the same classes, got images and logits of shape "
            f"{list(size)} and {list(logits)}, and {list(other_size)} and {list(other_logits)}."
        )
    if metadata.get("task", "classes") != "classes" or len(size) != 4 or size[-1] not in (1, 3) or len(logits) != 2:
        raise ValueError(
            f"the page shows the class of images of 1 or 3 channels, got images {list(size)}, logits {list(logits)} "
            f"and the task {metadata.get('task', 'classes')!r}."
        )
    mean, std = lite.read_normalization(dynamic) or (0.0, 1.0)
    port["static"]["macs"] = lite.count_macs(static, {})
    budgets, chosen = _budgets(dynamic, metadata, port["static"]["macs"] / 2)
    return port | {
        "size": size[1:],
        "mean": [mean] if isinstance(mean, (int, float)) else list(mean),
        "std": [std] if isinstance(std, (int, float)) else list(std),
        "labels": class_names(logits[-1], lite.read_labels(dynamic)),
        "decisions": metadata.get("decisions", []),
        "macs_unit": metadata.get("macs_unit", 1),
        "budgets": budgets,
        "budget": chosen,
    }


def _budgets(content, metadata, wanted):
    """Returns rows of thresholds for mean MACs, cheapest first, and the place of the one nearest to those wanted."""
    from keras_dynamic import lite

    if "thresholds" not in metadata:
        return [], 0
    rows = metadata.get("budgets") or []
    if not rows:  # other things are decided too, or there were no calibration images: the file's own
        noted = [3e38 if threshold is None else threshold for threshold in metadata["thresholds"]]
        return [{"macs": None, "thresholds": noted}], 0
    spent = sorted({row["macs_mean"] for row in rows})
    picked = [spent[round(k * (len(spent) - 1) / (_BUDGETS - 1))] for k in range(_BUDGETS)]
    picked = sorted(set(picked))
    made = [
        {"macs": macs, "thresholds": [min(float(t), 3e38) for t in lite.thresholds_for(content, macs=macs)]}
        for macs in picked
    ]
    return made, min(range(len(picked)), key=lambda place: abs(picked[place] - wanted))


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder, quietly, and takes the page's report."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".wasm": "application/wasm", ".js": "text/javascript"}
    reported: list = []  # noqa: RUF012  a class of its own for each server

    def log_message(self, format, *arguments):
        pass

    def do_POST(self):
        self.reported.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()


def serve(folder: Path):
    """Serves the site on this computer until it is interrupted."""
    with ThreadingHTTPServer(("127.0.0.1", _PORT.value), partial(_Handler, directory=str(folder))) as server:
        print(f"http://127.0.0.1:{server.server_address[1]} (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def measure(folder: Path, output: Path) -> dict:
    """Opens the site in headless Chromium and writes what it found of each sample.

    Args:
        folder: of the site.
        output: the JSON file.

    Returns:
        browser_ms and browser_static_ms, means of an image; browser_share of the two; macs_share; browser_over_macs,
        the one share over the other; images.

    Raises:
        ValueError: if the page fails, or does not report.
    """
    from keras_dynamic.files import write_text

    handler = type("Handler", (_Handler,), {"reported": []})
    arrived = threading.Event()
    handler.reported = _Reports(arrived)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/?report"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            quiet = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
            quiet += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
            browser = subprocess.Popen(
                [_CHROMIUM.value, *quiet, address],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                reported = arrived.wait(_WAIT)
            finally:
                os.killpg(browser.pid, signal.SIGKILL)  # it has started processes of its own
                browser.wait()
        server.shutdown()
    if not reported:
        raise ValueError(f"the page did not report within {_WAIT} seconds; open it with --serve and see what it says.")
    found = json.loads(handler.reported[0])
    if "error" in found:
        raise ValueError(f"the page failed: {found['error']}.")
    found = found["images"]
    write_text(output, json.dumps(found))
    count = len(found)
    dynamic, static, macs = (sum(each[name] for each in found) / count for name in ("dynamic", "static", "macs"))
    share = macs / json.loads((folder / "config.json").read_text())["static"]["macs"]
    return {
        "browser_ms": dynamic,
        "browser_static_ms": static,
        "browser_share": dynamic / static,
        "macs_share": share,
        "browser_over_macs": dynamic / static / share,
        "images": count,
    }


def write(figures, seconds):
    """Writes the record of what was measured."""
    from keras_dynamic.experiments.records import write_record

    name = f"ResNet-8, then ResNet-20, beside ResNet-20, in Chromium, {_QUANTIZE.value.replace('none', 'float32')}"
    data, settings = f"{figures['images']} shipped test images", {"quantize": _QUANTIZE.value, "seed": 0}
    write_record(_RECORD.value, "edge", name, data, settings, figures, {"browser_over_macs": "<= 1.1"}, seconds)


class _Reports(list):
    """A list that says when something was added."""

    def __init__(self, arrived):
        super().__init__()
        self._arrived = arrived

    def append(self, each):
        super().append(each)
        self._arrived.set()


if __name__ == "__main__":
    app.run(main)
