"""A quiz: questions with radio buttons, and feedback that is read out."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from IPython.display import HTML

from lessons_lib.course.widgets.style import KEYS, markup, theme
from lessons_lib.errors import InputError

_QUIZ_STYLE = (
    theme("lesson-quiz")
    + """
.lesson-quiz fieldset { border: 0; padding: 0; margin: 0 0 1em; min-width: 0; }
.lesson-quiz legend {
  font-weight: bold; font-size: 1em; padding: 0; margin: 0 0 .3em; float: none;
}
.lesson-quiz label { display: flex; gap: .6em; align-items: baseline; padding: .1em 0; }
.lesson-quiz .feedback { min-height: 1.5em; margin: .4em 0 0; padding-left: .7em; }
.lesson-quiz .right { border-left: 4px solid #009E73; }
.lesson-quiz .wrong { border-left: 4px dashed #D55E00; }
.lesson-quiz code { background: transparent; color: inherit; padding: 0; font-size: .95em; }
.lesson-quiz summary { cursor: pointer; }
"""
)

_QUIZ_SCRIPT = (
    KEYS
    + """
function ask(question, why) {
  const feedback = question.querySelector(".feedback");
  const button = question.querySelector("button");
  let wrong = 0;
  const say = (kind, text) => {
    feedback.className = "feedback " + kind;
    feedback.innerHTML = text;
  };
  question.addEventListener("change", () => say("", ""));
  button.addEventListener("click", () => {
    const chosen = question.querySelector("input:checked");
    if (!chosen) say("", "Choose an answer first.");
    else if (chosen.value === question.dataset.correct) say("right", "✓ Correct. " + why);
    else {
      wrong += 1;
      const given = chosen.parentElement.querySelector("span").innerHTML;
      const help = wrong > 1 ? "A hint: " + why : "Choose another answer.";
      say("wrong", "✗ Not yet: it is not “" + given + "”. " + help);
    }
  });
  button.hidden = false;
}
function start(root, copy) {
  const reasons = root.querySelectorAll(".why");
  root.querySelectorAll("fieldset").forEach((question, i) => {
    // A second copy of the same quiz in one page must not share its radio groups.
    question.querySelectorAll("input").forEach((input) => { input.name += "-" + copy; });
    ask(question, reasons[i].innerHTML);
  });
  root.addEventListener("keydown", keepKeys);
  root.dataset.ready = "yes";
}
const started = document.querySelectorAll(".lesson-quiz[data-ready]").length;
document.querySelectorAll(".lesson-quiz:not([data-ready]):has(button)").forEach((root, i) => {
  start(root, started + i);
});
"""
)

_QUIZ = """<div class="lesson-quiz">
<style>{style}</style>
{questions}
<details><summary>Answers</summary>
<ol>{answers}</ol></details>
<script>(() => {{{script}}})();</script>
</div>"""

_QUESTION = """<fieldset data-correct="{correct}">
<legend>{number}. {text}</legend>
{options}
<button type="button" hidden>Check</button>
<p class="feedback" role="status" aria-live="polite"></p>
</fieldset>"""


@dataclass(frozen=True)
class Question:
    """One question of a quiz with one right answer.

    ``correct`` is the index, from 0, of the right one of the 2 to 6 ``options``; ``why`` is shown
    after the right answer, and from the second wrong one on. Text between backticks is set as code.

    Raises InputError when a text is empty, options repeat, or ``correct`` is not an index.
    """

    text: str
    options: Sequence[str]
    correct: int
    why: str

    def __post_init__(self):
        texts = [self.text, self.why, *self.options]
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise InputError(f"a quiz question needs a text, options and a reason; given: {texts}")
        if not 2 <= len(self.options) <= 6 or len(set(self.options)) != len(self.options):
            raise InputError(f"a quiz question needs 2 to 6 different options: {self.options}")
        if type(self.correct) is not int or self.correct not in range(len(self.options)):
            raise InputError(
                f"correct is the right option's index, 0 to {len(self.options) - 1}; "
                f"given: {self.correct!r}"
            )


def quiz(questions: Sequence[Question]) -> HTML:
    """Show questions with radio buttons, a Check button each, and feedback that is read out.

    ``questions``: one or more ``Question``. Without scripts the answers stand in a fold below.

    Raises InputError when there is no question, or something else is among them.
    """
    if not questions or not all(isinstance(question, Question) for question in questions):
        raise InputError("a quiz is a list of at least one widgets.Question")
    content = json.dumps([[q.text, list(q.options), q.correct, q.why] for q in questions])
    key = hashlib.sha256(content.encode()).hexdigest()[:8]
    return HTML(
        _QUIZ.format(
            style=_QUIZ_STYLE,
            script=_QUIZ_SCRIPT,
            questions="\n".join(_question(q, i, key) for i, q in enumerate(questions, 1)),
            answers="\n".join(
                f"<li><strong>{markup(q.options[q.correct])}</strong>: "
                f"<span class='why'>{markup(q.why)}</span></li>"
                for q in questions
            ),
        )
    )


def _question(question: Question, number: int, key: str) -> str:
    options = (
        f'<label><input type="radio" name="quiz-{key}-{number}" value="{i}"> '
        f"<span>{markup(option)}</span></label>"
        for i, option in enumerate(question.options)
    )
    return _QUESTION.format(
        correct=question.correct,
        number=number,
        text=markup(question.text),
        options="\n".join(options),
    )
