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


MOVING = """
<figure id="NAME" style="margin: 1em 0">
<label>LABEL
<input type="range" min="0" max="LAST" value="FIRST" style="width: 14em; vertical-align: middle">
<output></output></label>
SVG</figure>
<script>
(() => {
  const data = NUMBERS, figure = document.currentScript?.previousElementSibling ?? document.getElementById("NAME");
  const [input, output] = ["input", "output"].map(name => figure.querySelector(name)), get = figure.querySelector.bind(figure);
  const set = (what, values) => Object.entries(values).forEach(([name, value]) => what.setAttribute(name, value));
  const add = (where, kind, values = {}) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", kind);
    set(made, values);
    return get(where).appendChild(made);
  };
  const path = (xs, ys) => "M" + xs.map((x, i) => `${x} ${ys[i]}`).join("L");
DRAW
  const show = () => { output.textContent = draw(input.value); };
  input.addEventListener("input", show);
  const asked = new URLSearchParams(location.search).get("NAME");  // a link to one position
  if (asked !== null) input.value = asked;
  show();
})();
</script>
"""


def moving(
    name,  # id of the figure, and of its position in an address
    label,  # of the slider
    numbers,  # dict, `data` in the script
    positions,  # of the slider
    svg,  # the picture without what moves
    draw,  # JavaScript that defines draw(at): it moves the picture and returns what the output says
    first=0,  # position
):  # what a notebook shows
    "A figure with a slider, which keys move as well: plain SVG and JavaScript, with the numbers of the notebook."
    data = json.dumps(numbers, separators=(",", ":"))
    parts = {"NAME": name, "LABEL": label, "LAST": str(positions - 1), "FIRST": str(first), "SVG": svg.strip() + "\n"}
    parts |= {"DRAW": draw.strip("\n"), "NUMBERS": data}
    html = MOVING
    for key, value in parts.items():
        html = html.replace(key, value)
    if len(html) > 50_000:
        raise ValueError(f"{name} has {len(html)} characters, 50,000 at most: round its numbers or leave some out")
    return HTML(html)
