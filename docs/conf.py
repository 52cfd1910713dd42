"""How Sphinx builds this documentation (`make docs`)."""

from __future__ import annotations

import celeriac

project = "celeriac"
author = "the celeriac authors"
copyright = "2026, the celeriac authors"
version = release = celeriac.__version__

extensions = ["myst_parser", "sphinx_click", "sphinx_copybutton", "sphinx_design"]
exclude_patterns = ["_build"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

# Only what is typed is copied: not the prompt, not the output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

html_theme = "furo"
html_title = f"celeriac {release}"
