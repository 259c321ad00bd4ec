"""Sphinx configuration of the site; docs/build.py writes the sources."""

from configparser import ConfigParser
from pathlib import Path

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).parent.parent / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]

project, author, copyright = cfg["title"], cfg["author"], cfg["copyright"]
version = release = cfg["version"]
extensions = ["myst_nb", "sphinx_copybutton"]
copybutton_selector = "div:not(.output) > div.highlight pre"  # code, not what it printed
mathjax_path = "mathjax/tex-chtml.js"  # copied by build.py: no remote script
html_theme = "furo"
html_title = f"{project} {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_assets_policy = "always"  # the sidebar has symbols on pages that have none
html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "monokai"

nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # a lesson may step from a title straight to an exercise
