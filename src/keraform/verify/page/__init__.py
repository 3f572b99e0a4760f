"""The page of `--report`: one self-contained HTML file that shows what a proof found.

- `render`: the page, put together from the parts below with the template `report.html.j2`
- `verdict`: one sentence a class
- `heat`: what each column of errors means, its limit, its colour
- `tree`: stages nested by their paths
- `growth`: the plot of errors through the depth
- `listing`: a statement in its file, coloured
"""

from keraform.verify.page.render import render

__all__ = ["render"]
