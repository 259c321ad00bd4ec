"""`python -m ggml_nb` is `ggml-nb`: an interrupt while modules are loaded ends in one line, too."""

import signal
import sys


def main(*arguments):
    try:
        from ggml_nb.shell.cli import main

        return main(*arguments)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would cut the line short
        sys.stderr.write("ggml-nb: error: interrupted, nothing was written\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
