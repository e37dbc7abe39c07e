"""Installs keras_dynamic; `make run` and `make test` do this for you (docs/development.md)."""

from pathlib import Path

from setuptools import find_packages, setup

VERSION = "0.2.0"

# What `import keras_dynamic` needs. Keras itself needs a backend: the extra cpu, gpu or jax.
BASE = [
    "absl-py>=1.4",
    "h5py>=3.11",
    "jinja2>=3.1",
    "keras>=3.12,<4",
    "matplotlib>=3.9",
    "ml_collections>=1.0",
    "numpy>=1.26",
    "pillow>=10.3",
]

EXTRAS = {
    # TensorFlow trains, evaluates and exports; take cpu or gpu, not both.
    "cpu": ["tensorflow-cpu>=2.20"],
    "gpu": ["tensorflow[and-cuda]>=2.20"],
    "jax": ["jax>=0.6"],
    # Running .tflite files, and rewriting their flatbuffers.
    "tflite": ["ai-edge-litert>=2.0", "flatbuffers>=24.3"],
    # tflite-micro has pre-releases only; a bound that names one lets pip take them.
    "micro": ["tflite-micro>=0.dev20250101"],
    # Writing ONNX models and running them.
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20"],
    # tensorflow-datasets imports importlib_resources without declaring it.
    "data": ["tensorflow-datasets>=4.9.6", "importlib_resources>=6.4"],
    # These two bring the package tensorflow and hold absl-py at 1.4: not for one environment with cpu.
    "compress": ["tensorflow-model-optimization>=0.8", "tf_keras>=2.20"],
    # The tests hold the JAX backend too.
    "dev": ["import-linter>=2.12", "jax>=0.6", "mypy>=1.14", "pytest>=8.3", "pytest-xdist>=3.6", "ruff>=0.9"],
}

# Files beside the sources that the package ships, by the package that they lie under.
PACKAGE_DATA = {
    "keras_dynamic": ["weights/*.npz", "weights/*.keras", "weights/*.json"],
    "keras_dynamic.data": ["shipped/*"],
    "keras_dynamic.experiments": ["templates/*"],
    "keras_dynamic.lite.c_source": ["kernels/*", "templates/*.*", "templates/Makefile", "templates/tflm/*"],
    "keras_dynamic.report": ["templates/*"],
}

setup(
    name="keras_dynamic",
    version=VERSION,
    description="Keras networks that decide per input how much of themselves to run, also as TFLite models.",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=["keras", "dynamic networks", "conditional computation", "early exit", "tflite", "tinyml"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["keras_dynamic", "keras_dynamic.*"]),
    package_data=PACKAGE_DATA,
    python_requires=">=3.11",
    install_requires=BASE,
    extras_require=EXTRAS,
)
