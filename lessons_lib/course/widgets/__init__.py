"""Small HTML widgets that work in JupyterLab and on a web page, with the keyboard, offline.

Each is one piece of HTML with its own style and script. Where scripts do not run (an untrusted
notebook, a print) the result for the initial settings stays readable. The same arguments always
give the same text, so that executing a notebook again changes nothing. Beside a widget may stand
one that an untrusted notebook has stripped of its attributes; the scripts pass it over.
"""

from lessons_lib.course.widgets.predictions import Prediction, predict, tally
from lessons_lib.course.widgets.quiz import Question, quiz
from lessons_lib.course.widgets.slider import affine_slider

__all__ = ["Prediction", "Question", "affine_slider", "predict", "quiz", "tally"]
