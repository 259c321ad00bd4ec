"""HTML in a lesson's output: questions that answer back, and figures that move. No script is needed for a question."""

import json
from html import escape

from IPython.display import HTML

DETAILS = "border: 1px solid #8888; border-radius: 4px; margin: .3em 0; padding: .2em .8em"


class Question(HTML):
    "What the browser shows as HTML, and a terminal as text."

    def __init__(self, html, text):
        super().__init__(html)
        self.text = text

    def __repr__(self):
        return self.text


def quiz(
    question,  # text, may hold HTML
    answers,  # dict: an answer, of any type, and what to say to whoever picks it
    right,  # the right one, as the cell has computed it
):  # what a notebook shows
    "A question whose answers are to be unfolded; a right answer that is not among them raises."
    if [str(answer) for answer in answers].count(str(right)) != 1:
        raise ValueError(f"right must be one of the answers {list(answers)}, got {right!r}")
    rows = []
    for answer, reply in answers.items():
        verdict = "Right." if str(answer) == str(right) else "No."
        reply = f"<p style='margin: .4em 0'><strong>{verdict}</strong> {reply}</p>"
        rows.append(f"<details style='{DETAILS}'><summary>{escape(str(answer), quote=False)}</summary>{reply}</details>")
    html = f"<div class='quiz' style='margin: 1em 0'><p><strong>{question}</strong></p>\n" + "\n".join(rows) + "\n</div>"
    return Question(html, f"{question} " + " / ".join(map(str, answers)))


SLIDER = """<label>LABEL
<input type="range" min="0" max="LAST" value="FIRST" style="width: 14em; vertical-align: middle"></label>
"""
MOVING = """
<figure id="NAME" style="margin: 1em 0">
SLIDERS<output style="display: block"></output>
SVG</figure>
<script>
(() => {
  const data = NUMBERS, figure = document.currentScript?.previousElementSibling ?? document.getElementById("NAME");
  const inputs = [...figure.querySelectorAll("input")], get = figure.querySelector.bind(figure);
  const set = (what, values) => Object.entries(values).forEach(([name, value]) => what.setAttribute(name, value));
  const add = (where, kind, values = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    set(made, values);
    return get(where).appendChild(made);
  };
  const path = (xs, ys) => "M" + xs.map((x, i) => `${x} ${ys[i]}`).join("L");
DRAW
  const show = () => { get("output").textContent = draw(...inputs.map(input => +input.value)); };
  const asked = new URLSearchParams(location.search).get("NAME");  // a link to one position
  inputs.forEach((input, i) => {
    input.addEventListener("input", show);
    if (asked !== null) input.value = asked.split(",")[i];
  });
  show();
})();
</script>
"""


def moving(
    name,  # id of the figure, and of its position in an address
    sliders,  # dict: the label of each, and a pair: how many positions, and the first one
    numbers,  # dict, `data` in the script
    svg,  # the picture without what moves
    draw,  # JavaScript that defines draw(at, ...): it moves the picture and returns what the output says
):  # what a notebook shows
    "A figure with sliders, which keys move as well: plain SVG and JavaScript, with the numbers of the notebook."
    rows = [
        SLIDER.replace("LABEL", label).replace("LAST", str(positions - 1)).replace("FIRST", str(first))
        for label, (positions, first) in sliders.items()
    ]
    parts = {"SLIDERS": "".join(rows), "NAME": name, "SVG": svg.strip() + "\n", "DRAW": draw.strip("\n")}
    html = MOVING
    for key, value in (parts | {"NUMBERS": json.dumps(numbers, separators=(",", ":"))}).items():
        html = html.replace(key, value)
    if len(html) > 50_000:
        raise ValueError(f"{name} has {len(html)} characters, 50,000 at most: round its numbers or leave some out")
    return HTML(html)
