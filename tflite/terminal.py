"""Keeps the terminal for the scripts' own words; TensorFlow and LiteRT log to it unasked."""

import contextlib
import os
import sys
import tempfile

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

sys.stdout.reconfigure(errors="backslashreplace")  # names of files and classes may hold what it cannot show

EXPECTED = (ValueError, OSError, ImportError)
"""Errors whose message says it all: scripts print it and end."""


@contextlib.contextmanager
def quiet():
    """Holds back what is written to standard error; shows it if an error of another type than EXPECTED passes."""
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        unexpected = False
        try:
            yield
        except EXPECTED:
            raise
        except BaseException:
            unexpected = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if unexpected:
                held_back.seek(0)
                sys.stderr.write(held_back.read().decode(errors="replace"))
