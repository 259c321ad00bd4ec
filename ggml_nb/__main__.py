"""`python -m ggml_nb` is `ggml-nb`."""

import sys

from ggml_nb.shell.cli import main

if __name__ == "__main__":
    sys.exit(main())
