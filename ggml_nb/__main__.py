"""`python -m ggml_nb` is `ggml-nb`: an interrupt while modules are loaded ends in one line, too."""

import sys


def main(*arguments):
    try:
        from ggml_nb.shell.cli import main

        return main(*arguments)
    except KeyboardInterrupt:
        sys.stderr.write("ggml-nb: error: interrupted, nothing was written\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
