"""Keeps the terminal for the scripts' own words; TensorFlow and LiteRT log to it unasked."""

import contextlib
import os
import sys
import tempfile

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

sys.stdout.reconfigure(errors="backslashreplace")  # names of files and classes may hold what it cannot show

_EXPECTED = (ValueError, OSError, ImportError)  # their messages say it all


@contextlib.contextmanager
def ending(script):
    """Ends the script with the message of an expected error.

    Args:
        script: its name, which the message begins with.
    """
    try:
        yield
    except _EXPECTED as error:
        sys.exit(f"{script}: {error}")


@contextlib.contextmanager
def quiet():
    """Holds back what is written to standard error; shows it if an error passes that is not expected."""
    with tempfile.TemporaryFile() as held_back:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        unexpected = False
        try:
            yield
        except _EXPECTED:
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
